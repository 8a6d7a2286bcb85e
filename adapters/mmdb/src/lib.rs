//! Where clients are, from a geolocation database in [MMDB form](https://maxmind.github.io/MaxMind-DB/).
//!
//! For platforms that do not know it by themselves.

use std::cell::RefCell;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader, path};
use selvedge_core::facts::{Continent, Coordinates, CountryCode, Facts};

/// Places by client address, in memory.
///
/// Reads the field names of GeoLite2 and DB-IP databases (`country.iso_code`,
/// `city.names.en`, ...) and the flat `country_code` of country-only ones.
pub struct GeoDatabase {
    reader: Reader<Vec<u8>>,
}

impl GeoDatabase {
    /// Reads a database in MMDB form.
    ///
    /// # Errors
    /// When the file cannot be read or is not such a database; the message names the file.
    pub fn open(path: &Path) -> Result<Self, NoDatabase> {
        let bytes = std::fs::read(path).map_err(|error| NoDatabase(error.to_string()));
        let message = |NoDatabase(error)| {
            NoDatabase(format!("cannot read the geolocation database {}: {error}", path.display()))
        };
        bytes.and_then(Self::from_bytes).map_err(message)
    }

    /// Takes a database that is in memory.
    ///
    /// # Errors
    /// When it is not in MMDB form.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, NoDatabase> {
        let reader = Reader::from_source(bytes).map_err(|error| NoDatabase(error.to_string()))?;
        Ok(Self { reader })
    }

    /// Returns what the database says about an address; all places are `None` for one it does not know.
    #[must_use]
    pub fn locate(&self, address: IpAddr) -> Facts {
        self.look_up(address).facts
    }

    /// Returns what the database says about an address, and whether it is damaged there.
    #[must_use]
    pub fn look_up(&self, address: IpAddr) -> Located {
        let mut facts = Facts::default();
        facts.client_ip = Some(address);
        let found = match self.reader.lookup(address) {
            Ok(found) => found,
            Err(error) => return Located { facts, damage: Damage::of(&error) },
        };
        let record = Entry { found, damage: RefCell::new(None) };
        let country =
            record.text(&path!["country", "iso_code"]).or_else(|| record.text(&path!["country_code"]));
        facts.country = country.and_then(CountryCode::new);
        facts.continent = record.text(&path!["continent", "code"]).and_then(Continent::new);
        facts.region = record.text(&path!["subdivisions", 0, "iso_code"]).map(str::to_owned);
        facts.city = record.text(&path!["city", "names", "en"]).map(str::to_owned);
        facts.time_zone = record.text(&path!["location", "time_zone"]).map(str::to_owned);
        facts.coordinates = record.coordinates();
        facts.asn = record.read(|found| found.decode_path(&path!["autonomous_system_number"]));
        Located { facts, damage: record.damage.into_inner() }
    }
}

impl fmt::Debug for GeoDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeoDatabase")
            .field("type", &self.reader.metadata().database_type)
            .finish_non_exhaustive()
    }
}

/// What a database says about an address.
#[derive(Clone, Debug)]
pub struct Located {
    /// The address, and what could be read of its place; the rest is unknown.
    pub facts: Facts,
    /// The first thing that could not be read, where the file is damaged.
    pub damage: Option<Damage>,
}

/// A part of a database is not in MMDB form. What is there of another type than expected is no damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage(String);

impl Damage {
    fn of(error: &MaxMindDbError) -> Option<Self> {
        // An IPv4 database knows no IPv6, and databases differ in what they hold.
        let is_usual = matches!(error, MaxMindDbError::InvalidInput { .. } | MaxMindDbError::Decoding { .. });
        (!is_usual).then(|| Self(error.to_string()))
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Damage {}

/// A file or text is no geolocation database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoDatabase(String);

impl fmt::Display for NoDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoDatabase {}

/// A record, and what of it turned out to be damaged.
struct Entry<'a> {
    found: LookupResult<'a, Vec<u8>>,
    damage: RefCell<Option<Damage>>,
}

impl<'a> Entry<'a> {
    fn read<T>(
        &self,
        read: impl FnOnce(&LookupResult<'a, Vec<u8>>) -> Result<Option<T>, MaxMindDbError>,
    ) -> Option<T> {
        read(&self.found).unwrap_or_else(|error| {
            let damage = Damage::of(&error);
            self.damage.replace_with(|earlier| earlier.take().or(damage));
            None
        })
    }

    fn text(&self, path: &[PathElement<'_>]) -> Option<&'a str> {
        self.read(|found| found.decode_path(path))
    }

    fn coordinates(&self) -> Option<Coordinates> {
        let number = |path: &[PathElement<'_>]| self.read(|found| found.decode_path::<f64>(path));
        Coordinates::new(number(&path!["location", "latitude"])?, number(&path!["location", "longitude"])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One record for every IPv4 address, in the [MMDB format](https://maxmind.github.io/MaxMind-DB/).
    fn database_of(record: &[u8]) -> GeoDatabase {
        let metadata = map(&[
            ("node_count", uint32(1)),
            ("record_size", uint16(24)),
            ("ip_version", uint16(4)),
            ("database_type", text("test")),
            ("languages", array(&[])),
            ("binary_format_major_version", uint16(2)),
            ("binary_format_minor_version", uint16(0)),
            ("build_epoch", field(9, 0, &[])),
            ("description", map(&[])),
        ]);
        let both_bits_lead_to_the_record = [0, 0, 17, 0, 0, 17];
        let parts: [&[u8]; 5] =
            [&both_bits_lead_to_the_record, &[0; 16], record, b"\xab\xcd\xefMaxMind.com", &metadata];
        GeoDatabase::from_bytes(parts.concat()).unwrap()
    }

    fn field(kind: u8, length: usize, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(length).unwrap();
        let extended = kind.checked_sub(8).map(|_| kind - 7);
        let first = if extended.is_some() { 0 } else { kind << 5 };
        let size = if length < 29 { vec![first | length] } else { vec![first | 29] };
        let rest = (length >= 29).then(|| length - 29);
        size.into_iter().chain(extended).chain(rest).chain(content.iter().copied()).collect()
    }

    fn text(content: &str) -> Vec<u8> {
        field(2, content.len(), content.as_bytes())
    }

    fn double(value: f64) -> Vec<u8> {
        field(3, 8, &value.to_be_bytes())
    }

    fn uint16(value: u16) -> Vec<u8> {
        field(5, 2, &value.to_be_bytes())
    }

    fn uint32(value: u32) -> Vec<u8> {
        field(6, 4, &value.to_be_bytes())
    }

    fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let content: Vec<u8> =
            entries.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
        field(7, entries.len(), &content)
    }

    fn array(values: &[Vec<u8>]) -> Vec<u8> {
        field(11, values.len(), &values.concat())
    }

    #[test]
    fn the_field_names_of_city_databases_are_read() {
        let database = database_of(&map(&[
            ("continent", map(&[("code", text("EU"))])),
            ("country", map(&[("iso_code", text("SE"))])),
            ("subdivisions", array(&[map(&[("iso_code", text("C"))])])),
            ("city", map(&[("names", map(&[("en", text("Uppsala"))]))])),
            (
                "location",
                map(&[
                    ("latitude", double(59.86)),
                    ("longitude", double(17.64)),
                    ("time_zone", text("Europe/Stockholm")),
                ]),
            ),
            ("autonomous_system_number", uint32(1653)),
        ]));
        let facts = database.locate("130.238.7.10".parse().unwrap());
        assert_eq!((facts.country, facts.continent), (CountryCode::new("SE"), Some(Continent::Europe)));
        assert_eq!((facts.region.as_deref(), facts.city.as_deref()), (Some("C"), Some("Uppsala")));
        assert_eq!(facts.coordinates, Coordinates::new(59.86, 17.64));
        assert_eq!((facts.time_zone.as_deref(), facts.asn), (Some("Europe/Stockholm"), Some(1653)));
        assert_eq!(database.locate("::1".parse().unwrap()).country, None, "an IPv4 database knows no IPv6");
    }

    #[test]
    fn fields_of_another_type_or_without_meaning_are_unknown_and_spoil_no_other() {
        let database = database_of(&map(&[
            ("country_code", text("SE")),
            ("country", text("Sweden")),
            ("city", uint32(7)),
            ("continent", map(&[("code", text("Atlantis"))])),
            ("location", map(&[("latitude", double(1000.0)), ("longitude", double(0.0))])),
        ]));
        let Located { facts, damage } = database.look_up("130.238.7.10".parse().unwrap());
        assert_eq!(damage, None);
        assert_eq!(facts.country, CountryCode::new("SE"), "the flat form counts when the nested one is none");
        assert_eq!((facts.city, facts.continent, facts.coordinates), (None, None, None));
    }

    #[test]
    fn a_damaged_record_says_so_and_what_can_be_read_of_it_counts() {
        let torn = [&field(7, 2, &[text("country_code"), text("SE")].concat()), &b"\x44te"[..]].concat();
        let Located { facts, damage } = database_of(&torn).look_up("130.238.7.10".parse().unwrap());
        assert_eq!(facts.country, CountryCode::new("SE"));
        assert!(damage.is_some(), "the second entry is cut short");
        let unknown = database_of(&map(&[])).look_up("::1".parse().unwrap());
        assert_eq!(unknown.damage, None, "an IPv4 database knows no IPv6, which is no damage");
    }

    #[test]
    fn a_file_that_is_no_database_is_an_error_that_names_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let message = format!("{:#}", GeoDatabase::open(file.path()).unwrap_err());
        assert!(message.contains(&file.path().display().to_string()), "{message}");
    }
}
