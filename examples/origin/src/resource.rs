//! Users and products: what they hold, what they are called in tags, and their statements.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use axum::http::HeaderValue;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::database::Query;

/// Longest name, in characters.
const MAX_NAME_CHARS: usize = 200;

/// Longest address of mail, in bytes ([RFC 5321 section 4.5.3.1.3](https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1.3)).
const MAX_EMAIL_BYTES: usize = 254;

/// Highest price: ten million.
const MAX_PRICE_CENTS: i64 = 1_000_000_000;

/// The last second that an HTTP date can tell: 9999-12-31T23:59:59Z.
const LAST_HTTP_SECS: u64 = 253_402_300_799;

/// What there is in the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    User,
    Product,
}

impl Kind {
    /// Returns the word for one.
    pub(crate) fn one(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Product => "product",
        }
    }

    /// Returns the word for all: the tag of lists, the segment of the path and the name of the sequence.
    pub(crate) fn all(self) -> &'static str {
        match self {
            Self::User => "users",
            Self::Product => "products",
        }
    }

    /// Returns who may keep one for how long. A private answer is asked about each time, as its owner changes it.
    pub(crate) fn cache_control(self) -> &'static str {
        match self {
            Self::User => "private, no-cache",
            Self::Product => "public, max-age=60",
        }
    }
}

/// The key of one thing: which kind, which id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) id: i64,
}

impl Key {
    /// Returns the key as surrogate keys and caches spell it, such as `product-1`.
    pub(crate) fn tag(self) -> String {
        format!("{}-{}", self.kind.one(), self.id)
    }

    /// Reads what [`Key::tag`] wrote.
    pub(crate) fn from_tag(tag: &str) -> Option<Self> {
        let (one, id) = tag.split_once('-')?;
        let kind = [Kind::User, Kind::Product].into_iter().find(|kind| kind.one() == one)?;
        Some(Self { kind, id: id.parse().ok()? })
    }
}

/// What a client writes, with the statements that keep it.
pub(crate) trait Resource: Serialize + DeserializeOwned + Send + Sync + Unpin + 'static {
    const KIND: Kind;
    /// Takes an id.
    const SELECT: &'static str;
    /// Takes an id, and how many.
    const LIST: &'static str;
    /// Takes an id, a time and the own columns.
    const INSERT: &'static str;
    /// Takes an id, a time, the version before and the own columns.
    const UPDATE: &'static str;
    /// Takes an id and a version.
    const DELETE: &'static str;

    /// Returns what is wrong with the values.
    fn fault(&self) -> Option<Cow<'static, str>>;

    /// Binds the own columns.
    fn bind<'q>(&'q self, query: Query<'q>) -> Query<'q>;

    /// Reads the own columns.
    fn from_row(row: &AnyRow) -> sqlx::Result<Self>;
}

/// A user of the shop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    name: String,
    email: String,
}

impl Resource for User {
    const KIND: Kind = Kind::User;
    const SELECT: &'static str = "SELECT id, version, modified_ms, name, email FROM users WHERE id = $1";
    const LIST: &'static str =
        "SELECT id, version, modified_ms, name, email FROM users WHERE id > $1 ORDER BY id LIMIT $2";
    const INSERT: &'static str =
        "INSERT INTO users (id, modified_ms, version, name, email) VALUES ($1, $2, 1, $3, $4)";
    const UPDATE: &'static str = "UPDATE users SET version = version + 1, modified_ms = $2, name = $4, email = $5 WHERE id = $1 AND version = $3";
    const DELETE: &'static str = "DELETE FROM users WHERE id = $1 AND version = $2";

    fn fault(&self) -> Option<Cow<'static, str>> {
        let fault = name_fault(&self.name);
        fault.or_else(|| (!is_email(&self.email)).then(|| "`email` must be an address of mail".into()))
    }

    fn bind<'q>(&'q self, query: Query<'q>) -> Query<'q> {
        query.bind(&self.name).bind(&self.email)
    }

    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self { name: row.try_get("name")?, email: row.try_get("email")? })
    }
}

/// A product of the shop; the price is in cents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Product {
    name: String,
    price_cents: i64,
}

impl Resource for Product {
    const KIND: Kind = Kind::Product;
    const SELECT: &'static str =
        "SELECT id, version, modified_ms, name, price_cents FROM products WHERE id = $1";
    const LIST: &'static str =
        "SELECT id, version, modified_ms, name, price_cents FROM products WHERE id > $1 ORDER BY id LIMIT $2";
    const INSERT: &'static str =
        "INSERT INTO products (id, modified_ms, version, name, price_cents) VALUES ($1, $2, 1, $3, $4)";
    const UPDATE: &'static str = "UPDATE products SET version = version + 1, modified_ms = $2, name = $4, price_cents = $5 \
         WHERE id = $1 AND version = $3";
    const DELETE: &'static str = "DELETE FROM products WHERE id = $1 AND version = $2";

    fn fault(&self) -> Option<Cow<'static, str>> {
        let fault = name_fault(&self.name);
        fault.or_else(|| {
            (!(0..=MAX_PRICE_CENTS).contains(&self.price_cents))
                .then(|| format!("`price_cents` must be from 0 to {MAX_PRICE_CENTS}").into())
        })
    }

    fn bind<'q>(&'q self, query: Query<'q>) -> Query<'q> {
        query.bind(&self.name).bind(self.price_cents)
    }

    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self { name: row.try_get("name")?, price_cents: row.try_get("price_cents")? })
    }
}

fn name_fault(name: &str) -> Option<Cow<'static, str>> {
    let is_fine =
        !name.trim().is_empty() && name.chars().count() <= MAX_NAME_CHARS && !name.contains(char::is_control);
    (!is_fine).then(|| {
        format!("`name` must have 1 to {MAX_NAME_CHARS} characters and no control characters").into()
    })
}

/// One `@` between two words; whether mail arrives is another question.
fn is_email(text: &str) -> bool {
    let is_clean = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    let parts = text.split_once('@');
    let is_whole =
        parts.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'));
    is_clean && is_whole && text.len() <= MAX_EMAIL_BYTES
}

/// A resource with what the database counts about it.
#[derive(Clone, Debug)]
pub(crate) struct Record<T> {
    pub(crate) id: i64,
    pub(crate) version: i64,
    pub(crate) modified_ms: i64,
    pub(crate) item: T,
}

impl<T: Resource> Record<T> {
    pub(crate) fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            version: row.try_get("version")?,
            modified_ms: row.try_get("modified_ms")?,
            item: T::from_row(row)?,
        })
    }

    pub(crate) fn represent(&self) -> Representation {
        let body = serde_json::to_vec(&Sent::from(self)).expect("plain fields are always JSON");
        Representation::new(self.version, self.modified_ms, body.into())
    }
}

/// What clients see of a record.
#[derive(Debug, Serialize)]
pub(crate) struct Sent<'a, T> {
    id: i64,
    #[serde(flatten)]
    item: &'a T,
}

impl<'a, T> From<&'a Record<T>> for Sent<'a, T> {
    fn from(record: &'a Record<T>) -> Self {
        Self { id: record.id, item: &record.item }
    }
}

/// A record as it is sent: serialised once, with its validators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Representation {
    pub(crate) version: i64,
    pub(crate) modified_ms: i64,
    pub(crate) body: Bytes,
    pub(crate) etag: HeaderValue,
    pub(crate) last_modified: HeaderValue,
}

impl Representation {
    /// The time is part of the tag, since a database in memory counts its versions anew after each start.
    pub(crate) fn new(version: i64, modified_ms: i64, body: Bytes) -> Self {
        let visible = |text: String| HeaderValue::try_from(text).expect("digits and dates are visible ASCII");
        Self {
            version,
            modified_ms,
            body,
            etag: visible(format!("\"{version}-{modified_ms:x}\"")),
            last_modified: visible(httpdate::fmt_http_date(time_of(modified_ms))),
        }
    }

    pub(crate) fn modified(&self) -> SystemTime {
        time_of(self.modified_ms)
    }
}

/// Whole seconds, as HTTP dates have them, which end with the year 9999.
fn time_of(modified_ms: i64) -> SystemTime {
    let secs = u64::try_from(modified_ms).unwrap_or_default() / 1_000;
    SystemTime::UNIX_EPOCH + Duration::from_secs(secs.min(LAST_HTTP_SECS))
}

/// Returns the time in milliseconds of Unix time.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_their_bounds_are_faults() {
        let user =
            |name: &str, email: &str| User { name: name.into(), email: email.into() }.fault().is_some();
        let long = "x".repeat(201);
        let rows = [
            ("Ada", "ada@example.com", false),
            ("", "ada@example.com", true),
            (" ", "ada@example.com", true),
            (long.as_str(), "ada@example.com", true),
            ("A\0a", "ada@example.com", true),
            ("Ada", "", true),
            ("Ada", "ada", true),
            ("Ada", "@example.com", true),
            ("Ada", "ada@", true),
            ("Ada", "a@b@c", true),
            ("Ada", "a b@c", true),
        ];
        for (name, email, expected) in rows {
            assert_eq!(user(name, email), expected, "{name:?} {email:?}");
        }
        for (price_cents, expected) in
            [(0, false), (MAX_PRICE_CENTS, false), (-1, true), (MAX_PRICE_CENTS + 1, true)]
        {
            let product = Product { name: "Linen".to_owned(), price_cents };
            assert_eq!(product.fault().is_some(), expected, "{price_cents}");
        }
    }

    #[test]
    fn a_tag_names_one_key() {
        let key = Key { kind: Kind::Product, id: 17 };
        assert_eq!((key.tag().as_str(), Key::from_tag("product-17")), ("product-17", Some(key)));
        for tag in ["product", "product-", "product-x", "cloth-1", ""] {
            assert_eq!(Key::from_tag(tag), None, "{tag}");
        }
    }

    #[test]
    fn every_version_has_its_own_tag() {
        let tag = |version, modified_ms| Representation::new(version, modified_ms, Bytes::new()).etag;
        assert_eq!(tag(1, 255), "\"1-ff\"");
        assert_ne!(tag(1, 255), tag(2, 255));
        assert_ne!(tag(1, 255), tag(1, 256), "versions are counted anew by a new database");
    }
}
