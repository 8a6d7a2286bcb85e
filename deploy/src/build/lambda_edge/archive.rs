//! The zip that Lambda takes: the same files give the same bytes, so that nothing is deployed that did not change.

use std::io::{Cursor, Write as _};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use selvedge_core::hex;
use sha2::{Digest as _, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

/// A zip and what tells it from others.
pub(crate) struct Archive {
    bytes: Vec<u8>,
    digest: [u8; 32],
    sizes: Vec<(String, u64)>,
}

impl Archive {
    /// Zips files in their order, all with the same time.
    pub(crate) fn of(files: &[(&str, Vec<u8>)]) -> anyhow::Result<Self> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(9))
            .last_modified_time(DateTime::default())
            // Lambda runs the function as another user than the one that owns its files.
            .unix_permissions(0o644);
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in files {
            writer
                .start_file(*name, options)
                .and_then(|()| Ok(writer.write_all(content)?))
                .with_context(|| format!("cannot zip {name}"))?;
        }
        let bytes = writer.finish().context("cannot end the zip")?.into_inner();
        let sizes = sizes(&bytes)?;
        Ok(Self { digest: Sha256::digest(&bytes).into(), bytes, sizes })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The files with their compressed sizes.
    pub(crate) fn sizes(&self) -> &[(String, u64)] {
        &self.sizes
    }

    /// The first 16 hexadecimal digits of its SHA-256, for names.
    pub(crate) fn fingerprint(&self) -> String {
        hex::encode(&self.digest[..8])
    }

    /// Its SHA-256 as Lambda writes it.
    pub(crate) fn code_sha256(&self) -> String {
        STANDARD.encode(self.digest)
    }
}

fn sizes(bytes: &[u8]) -> anyhow::Result<Vec<(String, u64)>> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).context("the zip cannot be read back")?;
    let entries = (0..archive.len()).map(|at| {
        let file = archive.by_index(at)?;
        Ok((file.name()?.into_owned(), file.compressed_size()))
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_same_files_give_the_same_zip() {
        let files = [("index.mjs", b"export const handler = 1;\n".to_vec()), ("policy.bin", vec![0; 1000])];
        let (one, other) = (Archive::of(&files).expect("zips"), Archive::of(&files).expect("zips"));
        assert_eq!(one.bytes(), other.bytes());
        let changed = Archive::of(&files[..1]).expect("zips");
        assert_ne!(one.fingerprint(), changed.fingerprint(), "other files give another name");
    }

    #[test]
    fn every_user_can_read_the_files() {
        let archive = Archive::of(&[("index.mjs", b"one".to_vec())]).expect("zips");
        let mut read = ZipArchive::new(Cursor::new(archive.bytes())).expect("it is a zip");
        let mut file = read.by_name("index.mjs").expect("the file is there");
        assert_eq!(file.unix_mode().map(|mode| mode & 0o777), Some(0o644));
        let mut text = String::new();
        file.read_to_string(&mut text).expect("it is text");
        assert_eq!(text, "one");
    }
}
