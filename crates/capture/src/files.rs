//! The files of a capture.

use {
    crate::CaptureError,
    serde::Deserialize,
    std::{
        collections::BTreeMap,
        fs::{self, File},
        io::{self, BufReader, Read},
        path::{Path, PathBuf},
    },
    tandem_genesis::Genesis,
    tandem_ledger::{Ledger, LedgerReader, Options, Source},
    tandem_shred::{DATA_PAYLOAD_BYTES, Shred, ShredKind},
    tandem_types::{Slot, UnixMillis},
    tempfile::TempDir,
};

/// More is no shred; bounds what a damaged length makes us read.
const RECORD_BYTES_MAX: u32 = 1_280;
const BATCH_SHREDS: usize = 1_024;
/// What the largest window of `zstd --long=27` needs; a stream that asks for more is refused.
const WINDOW_LOG_MAX: u32 = 27;

/// What agave logged of a bank.
#[derive(Clone, Debug, Deserialize)]
pub struct Golden {
    pub slot: Slot,
    pub hash: String,
    pub signature_count: u64,
    pub last_blockhash: String,
    pub capitalization: u64,
    pub lt_hash_checksum: String,
    pub rooted: bool,
    pub full: bool,
}

/// A capture whose shreds are in a ledger of ours, in a folder that goes when this goes.
pub struct Capture {
    pub genesis: Genesis,
    pub golden: BTreeMap<Slot, Golden>,
    pub ledger: LedgerReader,
    _writer: Ledger,
    _folder: TempDir,
}

/// The folder of captures, if there is one on this machine.
pub fn captures_folder() -> Option<PathBuf> {
    let shared = match std::env::var_os("TANDEM_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    let captures = shared.join("captures");
    captures.is_dir().then_some(captures)
}

impl Capture {
    /// Tells `progress` now and then how many shreds are in.
    pub fn read(folder: &Path, progress: &mut dyn FnMut(u64)) -> Result<Self, CaptureError> {
        if !folder.is_dir() {
            return Err(CaptureError::NoFolder(folder.to_owned()));
        }
        let genesis = Genesis::load(&folder.join("genesis.bin"))?;
        let golden = read_golden(&folder.join("banks.jsonl"))?;
        let temporary =
            tempfile::tempdir().map_err(|source| CaptureError::Read { path: std::env::temp_dir(), source })?;
        let (mut writer, ledger) = Ledger::open(temporary.path(), Options::default())?;
        insert_shreds(&folder.join("shreds.bin.zst"), &mut writer, progress)?;
        Ok(Self { genesis, golden, ledger, _writer: writer, _folder: temporary })
    }
}

fn read_golden(path: &Path) -> Result<BTreeMap<Slot, Golden>, CaptureError> {
    let text = fs::read_to_string(path).map_err(|source| CaptureError::Read { path: path.to_owned(), source })?;
    let lines = text.lines().enumerate().map(|(index, line)| {
        let golden: Golden = serde_json::from_str(line).map_err(|source| CaptureError::Golden {
            path: path.to_owned(),
            line: index + 1,
            source,
        })?;
        Ok((golden.slot, golden))
    });
    lines.collect()
}

/// Everything goes in before anything is rooted, so nothing can be too old.
fn insert_shreds(path: &Path, ledger: &mut Ledger, progress: &mut dyn FnMut(u64)) -> Result<(), CaptureError> {
    let failed = |source| CaptureError::Read { path: path.to_owned(), source };
    let mut decoder = zstd::Decoder::new(BufReader::new(File::open(path).map_err(failed)?)).map_err(failed)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(failed)?;
    let mut batch = Vec::new();
    let mut shreds = 0;
    let no_shred = |shreds, what: String| CaptureError::NoShred { path: path.to_owned(), shreds, what };
    let ended = |shreds| {
        move |source: io::Error| match source.kind() {
            io::ErrorKind::UnexpectedEof => CaptureError::Truncated { path: path.to_owned(), shreds },
            _ => CaptureError::Read { path: path.to_owned(), source },
        }
    };
    loop {
        let mut length = [0; 4];
        // The end is where a record would begin, nowhere else.
        if decoder.read(&mut length[..1]).map_err(ended(shreds))? == 0 {
            break;
        }
        decoder.read_exact(&mut length[1..]).map_err(ended(shreds))?;
        let length = u32::from_le_bytes(length);
        if length > RECORD_BYTES_MAX {
            return Err(no_shred(shreds, format!("{length} bytes")));
        }
        let mut bytes = vec![0; length as usize];
        decoder.read_exact(&mut bytes).map_err(ended(shreds))?;
        // A capture holds what agave's blockstore gives: a data shred without the zeros at its end.
        bytes.resize(bytes.len().max(DATA_PAYLOAD_BYTES), 0);
        let shred = Shred::parse(bytes).map_err(|reject| no_shred(shreds, format!("{reject:?}")))?;
        shreds += 1;
        // The ledger begins with slot 0 as its root, and wants no code of a rooted slot.
        if shred.slot() > 0 || shred.kind() == ShredKind::Data {
            batch.push(shred);
        }
        if batch.len() >= BATCH_SHREDS {
            insert(ledger, &mut batch)?;
            progress(shreds);
        }
    }
    insert(ledger, &mut batch)?;
    progress(shreds);
    Ok(())
}

fn insert(ledger: &mut Ledger, batch: &mut Vec<Shred>) -> Result<(), CaptureError> {
    let slot = batch.last().map_or(0, Shred::slot);
    let report = ledger.insert(std::mem::take(batch), Source::Turbine, UnixMillis::default())?;
    match report.rejected_count() {
        0 => Ok(()),
        refused => Err(CaptureError::Refused { slot, refused }),
    }
}
