//! Which kind of store this ledger folder's identities were last used with. A validator whose `--tower-storage etcd` was forgotten
//! would open an empty folder beside a pair that shares an etcd: a store that fences nobody, and a twin (I7). The folder remembers.

use {
    crate::exit::{Failure, Status},
    std::{
        collections::BTreeMap,
        fs, io,
        path::{Path, PathBuf},
    },
    tandem_env::write_durably,
    tandem_types::Pubkey,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    File,
    Etcd,
}

/// Whether the store is another than that of the last run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    None,
    /// Its id and revisions say nothing about this one; its votes do.
    OtherKind,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::File => "file",
            Kind::Etcd => "etcd",
        }
    }
}

/// To be called before the identity's store is opened. From etcd to a folder only when the operator has said so (`--leave-etcd`). The
/// caller holds the ledger's lock.
pub fn check(ledger: &Path, identity: &Pubkey, kind: Kind, leave_etcd: bool) -> Result<Change, Failure> {
    let path = file_of(ledger);
    let mut known = match fs::read_to_string(&path) {
        Ok(text) => parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
        // What cannot be read may say etcd.
        Err(error) => {
            return Err(Failure::failed(format!("reading {}: {error}", path.display()))
                .remedy("let this user read and write it; it says which store the identity was last used with"));
        }
    };
    let name = identity.to_string();
    let last = known.get(&name).map(String::as_str);
    if last == Some(kind.name()) {
        return Ok(Change::None);
    }
    let change = if last.is_some() { Change::OtherKind } else { Change::None };
    if kind == Kind::File && last.is_some() && !leave_etcd {
        return Err(Failure::refused(format!(
            "identity {identity} was last used with an etcd tower store in this ledger folder, and now the tower store is a file: \
             another machine that uses the etcd would not be fenced, and two validators would speak for one identity"
        ))
        .remedy(
            "add --tower-storage etcd and its --etcd flags; or, if no machine uses that etcd for this identity any more, \
             bring its tower (`validator tower export`, `tower import`) and add --leave-etcd once",
        ));
    }
    known.insert(name, kind.name().to_owned());
    let text: String = known.iter().map(|(identity, kind)| format!("{identity} {kind}\n")).collect();
    write_durably(&path, text.as_bytes()).map_err(|error| Failure::caused(Status::Failed, &error))?;
    Ok(change)
}

fn file_of(ledger: &Path) -> PathBuf {
    ledger.join("tower-storage")
}

/// A line that is none is passed over; one that names a store we do not know is not the file store.
fn parse(text: &str) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let (identity, kind) = line.split_once(' ')?;
        identity.parse::<Pubkey>().ok()?;
        Some((identity.to_owned(), kind.trim().to_owned()))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use {super::*, tempfile::TempDir};

    #[test]
    fn a_folder_that_was_used_with_etcd_is_not_opened_with_a_file_unless_told_so() {
        let folder = TempDir::new().expect("a folder");
        let identity = Pubkey::new_from_array([7; 32]);
        let other = Pubkey::new_from_array([8; 32]);
        let check = |identity, kind, leave| check(folder.path(), identity, kind, leave);
        check(&other, Kind::File, false).expect("nothing is known");
        check(&identity, Kind::File, false).expect("nothing is known");
        let change = check(&identity, Kind::Etcd, false).expect("a store that fences is always allowed");
        assert_eq!(change, Change::OtherKind);
        check(&identity, Kind::Etcd, false).expect("the same again");
        let refused = check(&identity, Kind::File, false).expect_err("the flags were forgotten");
        assert_eq!(refused.status, Status::Refused);
        let text = refused.to_string();
        assert!(text.contains("--tower-storage etcd") && text.contains("--leave-etcd"), "{text}");
        check(&identity, Kind::File, false).expect_err("asking twice changes nothing");
        check(&other, Kind::File, false).expect("another identity's store is another matter");
        assert_eq!(check(&identity, Kind::File, true).expect("told so"), Change::OtherKind);
        assert_eq!(check(&identity, Kind::File, false).expect("and once is enough"), Change::None);
    }

    #[test]
    fn what_is_damaged_or_of_the_future_is_no_leave() {
        let folder = TempDir::new().expect("a folder");
        let identity = Pubkey::new_from_array([7; 32]);
        fs::write(file_of(folder.path()), format!("junk\n\n{identity} consul\nx etcd\n")).expect("written");
        check(folder.path(), &identity, Kind::File, false).expect_err("a store we do not know");
        fs::remove_file(file_of(folder.path())).expect("removed");
        fs::create_dir(file_of(folder.path())).expect("a folder in its place");
        let failure = check(folder.path(), &identity, Kind::Etcd, false).expect_err("no file");
        assert!(failure.what.contains("tower-storage") && failure.remedy.is_some(), "{failure}");
    }
}
