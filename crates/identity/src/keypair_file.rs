//! Key files as agave writes them: a JSON array of 64 numbers, the secret half and the public half.

use {
    std::{
        fs::{self, File},
        io::{self, Read, Write},
        os::unix::fs::{OpenOptionsExt, PermissionsExt},
        path::Path,
    },
    tandem_types::{Keypair, Pubkey, Signer},
    thiserror::Error,
    zeroize::Zeroizing,
};

#[derive(Debug, Error)]
pub enum KeypairFileError {
    #[error("there is no key file {name}; make one with `solana-keygen new -o {name}`")]
    Missing { name: String },
    #[error("the key file {name} may not be read by this user; `chmod 600` it and make this user its owner")]
    Permission { name: String },
    #[error("cannot read the key from {name}")]
    Read {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "{name} is not a key file: it must be a JSON array of 64 numbers from 0 to 255, as `solana-keygen new` writes it"
    )]
    NotAKeypair { name: String },
    #[error("{name} has {found} numbers, a key has 64: was it cut off while it was copied?")]
    WrongLength { name: String, found: usize },
    #[error("the two halves of the key in {name} do not belong together: restore it from a backup")]
    Mismatch { name: String },
    #[error("{name} exists already; it is left as it is")]
    Exists { name: String },
    #[error("cannot write the key file {name}")]
    Write {
        name: String,
        #[source]
        source: io::Error,
    },
}

/// Reads a key from a file; `-` is standard input.
pub fn read_keypair_file(path: &Path) -> Result<Keypair, KeypairFileError> {
    if path == Path::new("-") {
        return read_keypair(&mut io::stdin().lock(), "standard input");
    }
    let name = path.display().to_string();
    match File::open(path) {
        Ok(mut file) => read_keypair(&mut file, &name),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(KeypairFileError::Missing { name }),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(KeypairFileError::Permission { name }),
        Err(source) => Err(KeypairFileError::Read { name, source }),
    }
}

/// Reads a key from anything; `name` is for messages.
pub fn read_keypair(input: &mut dyn Read, name: &str) -> Result<Keypair, KeypairFileError> {
    let name = name.to_string();
    // Room enough that nothing is reallocated: a reallocation would leave a copy of the secret behind.
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
    let limit = FILE_BYTES_MAX as u64 + 1;
    if let Err(source) = input.take(limit).read_to_end(&mut text) {
        return Err(KeypairFileError::Read { name, source });
    }
    if text.len() > FILE_BYTES_MAX {
        return Err(KeypairFileError::NotAKeypair { name });
    }
    // Parsed by hand into a fixed place: a JSON parser grows a vector, and each growth leaves a copy behind.
    let inner = text.trim_ascii().strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    let Some(inner) = inner.map(|inner| inner.trim_ascii()) else {
        return Err(KeypairFileError::NotAKeypair { name });
    };
    let mut bytes = Zeroizing::new([0u8; KEY_BYTES]);
    let mut found = 0;
    if !inner.is_empty() {
        for word in inner.split(|byte| *byte == b',') {
            let Some(number) = number(word) else { return Err(KeypairFileError::NotAKeypair { name }) };
            if let Some(place) = bytes.get_mut(found) {
                *place = number;
            }
            found += 1;
        }
    }
    if found != KEY_BYTES {
        return Err(KeypairFileError::WrongLength { name, found });
    }
    Keypair::try_from(&bytes[..]).map_err(|_| KeypairFileError::Mismatch { name })
}

fn number(word: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(word.trim_ascii()).ok()?;
    // `parse` would take a plus sign, JSON does not.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Writes a new key file that only its owner can read. Never overwrites one.
pub fn write_keypair_file(key: &Keypair, path: &Path) -> Result<Pubkey, KeypairFileError> {
    let name = path.display().to_string();
    let bytes = Zeroizing::new(key.to_bytes());
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX));
    text.push('[');
    for (place, byte) in bytes.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        text.push_str(&byte.to_string());
    }
    text.push(']');
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(|source| KeypairFileError::Write { name: name.clone(), source })?;
    }
    let mut file = match File::options().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(KeypairFileError::Exists { name }),
        Err(source) => return Err(KeypairFileError::Write { name, source }),
    };
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|source| KeypairFileError::Write { name, source })?;
    Ok(key.pubkey())
}

/// Whether others than the owner may read the file: worth a warning, as ssh gives one.
pub fn is_readable_by_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
}

const KEY_BYTES: usize = 64;
/// 64 numbers of three digits with generous blanks.
const FILE_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_only_by_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/validator-keypair.json");
        let key = Keypair::new_from_array([3; 32]);
        assert_eq!(write_keypair_file(&key, &path).unwrap(), key.pubkey());
        assert_eq!(read_keypair_file(&path).unwrap().pubkey(), key.pubkey());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!is_readable_by_others(&path));
        // Agave's own reader takes it, and ours takes agave's writing.
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(serde_json::from_str::<Vec<u8>>(&text).unwrap(), key.to_bytes().to_vec());
        let error = write_keypair_file(&Keypair::new_from_array([4; 32]), &path).expect_err("never overwritten");
        assert!(error.to_string().contains("exists already"));
        assert_eq!(read_keypair_file(&path).unwrap().pubkey(), key.pubkey());
    }

    #[test]
    fn each_fault_says_what_and_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.json");
        let good = format!("{:?}", Keypair::new_from_array([3; 32]).to_bytes());
        let mut mismatched = Keypair::new_from_array([3; 32]).to_bytes();
        mismatched[40] ^= 1;
        for (text, expected) in [
            ("not json".to_string(), "is not a key file"),
            ("{\"a\": 1}".to_string(), "is not a key file"),
            ("[1, 2, 300]".to_string(), "is not a key file"),
            (String::new(), "is not a key file"),
            (" ".repeat(10_000), "is not a key file"),
            ("[1, +2, 3]".to_string(), "is not a key file"),
            ("[1,, 3]".to_string(), "is not a key file"),
            ("[1, 2, 3]".to_string(), "has 3 numbers"),
            (format!("{:?}", [7; 65]), "has 65 numbers"),
            (format!("{mismatched:?}"), "do not belong together"),
        ] {
            fs::write(&path, text).unwrap();
            let error = read_keypair_file(&path).expect_err("faulty").to_string();
            assert!(error.contains(expected) && error.contains("key.json"), "{error}");
        }
        fs::write(&path, format!("\n {good} \n")).unwrap();
        assert!(read_keypair_file(&path).is_ok());
        let error = read_keypair_file(&folder.path().join("none.json")).expect_err("missing").to_string();
        assert!(error.contains("none.json") && error.contains("solana-keygen new"), "{error}");
        let error = read_keypair(&mut "[]".as_bytes(), "standard input").expect_err("empty").to_string();
        assert!(error.contains("standard input has 0 numbers"), "{error}");
    }
}
