//! Users and products in SQLite.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, params};

/// A user of the shop.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct User {
    id: i64,
    name: String,
    email: String,
}

/// A product of the shop; the price is in cents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Product {
    pub(crate) name: String,
    pub(crate) price_cents: i64,
}

/// The shop's database. Queries run off the async threads, one at a time.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    connection: Arc<Mutex<Connection>>,
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price_cents INTEGER NOT NULL);
";

const USERS: [(i64, &str, &str); 4] = [
    (1, "Ada Weaver", "ada@example.com"),
    (2, "Bela Spinner", "bela@example.com"),
    (3, "Chidi Dyer", "chidi@example.com"),
    (4, "Dana Tailor", "dana@example.com"),
];

const PRODUCTS: [(i64, &str, i64); 3] =
    [(1, "Raw denim, selvedge", 4_900), (2, "Linen, twill", 3_200), (3, "Wool, herringbone", 6_750)];

impl Database {
    pub(crate) fn open(file: Option<&Path>) -> rusqlite::Result<Self> {
        let connection = file.map_or_else(Connection::open_in_memory, Connection::open)?;
        connection.execute_batch(SCHEMA)?;
        for (id, name, email) in USERS {
            connection
                .execute("INSERT OR IGNORE INTO users VALUES (?1, ?2, ?3)", params![id, name, email])?;
        }
        for (id, name, price) in PRODUCTS {
            connection
                .execute("INSERT OR IGNORE INTO products VALUES (?1, ?2, ?3)", params![id, name, price])?;
        }
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    /// Returns the user of an id, if there is one.
    pub(crate) async fn user(&self, id: i64) -> rusqlite::Result<Option<User>> {
        self.query(move |connection| {
            let user =
                |row: &rusqlite::Row<'_>| Ok(User { id: row.get(0)?, name: row.get(1)?, email: row.get(2)? });
            connection.query_row("SELECT id, name, email FROM users WHERE id = ?1", [id], user).optional()
        })
        .await
    }

    /// Returns every product in order of names.
    pub(crate) async fn products(&self) -> rusqlite::Result<Vec<Product>> {
        self.query(|connection| {
            let mut statement =
                connection.prepare("SELECT name, price_cents FROM products ORDER BY name LIMIT 100")?;
            let rows =
                statement.query_map([], |row| Ok(Product { name: row.get(0)?, price_cents: row.get(1)? }))?;
            rows.collect()
        })
        .await
    }

    async fn query<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> rusqlite::Result<T> {
        let connection = Arc::clone(&self.connection);
        let task = move || run(&connection.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(task).await.unwrap_or(Err(rusqlite::Error::InvalidQuery))
    }
}
