//! Finds out what a file or folder holds, and shows its votes and shreds to the judge.

use {
    crate::{
        block::BlockReader,
        bytes::Reader,
        gossip,
        judge::Judge,
        log, pcap,
        shred::{ShredView, has_length_of_shred},
        slot_file,
        verdict::Place,
        vote::Transaction,
    },
    serde::Serialize,
    std::{
        fs::File,
        io::{self, BufReader, Read},
        path::{Path, PathBuf},
    },
};

/// What was read.
#[derive(Clone, Debug, Serialize)]
pub struct Input {
    pub path: PathBuf,
    /// As "packet capture".
    pub format: &'static str,
    /// Packets, records, shreds.
    pub items: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Log(#[from] log::LogError),
    #[error("{}: {source}", path.display())]
    Pcap { path: PathBuf, source: pcap::PcapError },
    #[error("{}: a pcapng file; convert it first: editcap -F pcap FROM TO (or write it with tshark -F pcap)", .0.display())]
    PcapNg(PathBuf),
    #[error("{}: neither a release log, nor a packet capture (pcap), nor a slot file of a ledger, nor a capture of shreds", .0.display())]
    Unknown(PathBuf),
    #[error("{}: a folder without slot files (*.shreds) of a ledger and without a shreds.bin.zst", .0.display())]
    EmptyFolder(PathBuf),
}

/// A capture of shreds: length, shred, again and again.
const SHRED_BYTES_MAX: u32 = 1500;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// Captures are compressed with `zstd --long=27`.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

impl Judge {
    /// Reads a release log, a packet capture, a ledger (a folder, or one slot file), or a capture of shreds.
    pub fn add_path(&mut self, path: &Path) -> Result<Input, InputError> {
        let io_error = |source| InputError::Io { path: path.to_owned(), source };
        if path.is_dir() {
            return self.add_folder(path);
        }
        let mut first = [0; 13];
        let mut file = File::open(path).map_err(io_error)?;
        let mut length = 0;
        while length < first.len() {
            match file.read(&mut first[length..]).map_err(io_error)? {
                0 => break,
                count => length += count,
            }
        }
        let first = &first[..length];
        let input = |format, items| Ok(Input { path: path.to_owned(), format, items });
        let reopened = || File::open(path).map(BufReader::new).map_err(io_error);
        if pcap::is_pcap(first) {
            return input("packet capture", self.add_pcap(path, &mut reopened()?)?);
        }
        if first.starts_with(&PCAPNG_MAGIC) {
            return Err(InputError::PcapNg(path.to_owned()));
        }
        if slot_file::is_slot_file(first) {
            return input("slot file", self.add_slot_file(path)?);
        }
        if first.starts_with(&ZSTD_MAGIC) {
            let mut decoder = zstd::Decoder::new(reopened()?).map_err(io_error)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(io_error)?;
            return input("capture of shreds", self.add_shred_capture(path, &mut decoder)?);
        }
        let length = first.first_chunk().map(|bytes: &[u8; 4]| u32::from_le_bytes(*bytes)).unwrap_or_default();
        if matches!(length, 1203 | 1228) {
            return input("capture of shreds", self.add_shred_capture(path, &mut reopened()?)?);
        }
        if log::may_begin(first) {
            let records = log::read_log(path)?;
            let items = records.len() as u64;
            self.add_log(&path.display().to_string(), records);
            return input("release log", items);
        }
        Err(InputError::Unknown(path.to_owned()))
    }

    fn add_folder(&mut self, path: &Path) -> Result<Input, InputError> {
        let capture = path.join("shreds.bin.zst");
        if capture.is_file() {
            return self.add_path(&capture);
        }
        let files = slot_file::list(path).map_err(|source| InputError::Io { path: path.to_owned(), source })?;
        if files.is_empty() {
            return Err(InputError::EmptyFolder(path.to_owned()));
        }
        let mut items = 0;
        for file in files {
            items += self.add_slot_file(&file)?;
        }
        Ok(Input { path: path.to_owned(), format: "ledger", items })
    }

    fn add_pcap(&mut self, path: &Path, input: &mut impl Read) -> Result<u64, InputError> {
        let source = self.places.add(&path.display().to_string(), "packet");
        let mut passed_over = 0;
        let counts = pcap::read(input, |datagram| {
            let place = Place { source, number: datagram.packet };
            passed_over += u64::from(!self.see_datagram(datagram.payload, place));
        })
        .map_err(|source| InputError::Pcap { path: path.to_owned(), source })?;
        self.count_other(|verdict| verdict.passed_over += passed_over + counts.skipped);
        Ok(counts.packets)
    }

    /// False when the datagram holds nothing to judge, or not all of it could be read.
    fn see_datagram(&mut self, payload: &[u8], place: Place) -> bool {
        if has_length_of_shred(payload)
            && let Some(shred) = ShredView::read(payload)
        {
            self.see_shred(&shred, place);
            return true;
        }
        if let Some(gossip) = gossip::read(payload) {
            gossip.votes.iter().for_each(|vote| self.see_transaction(vote, place));
            return gossip.whole;
        }
        let mut reader = Reader(payload);
        match Transaction::read(&mut reader).filter(|_| reader.0.is_empty()) {
            Some(transaction) => {
                self.see_transaction(&transaction, place);
                true
            }
            None => false,
        }
    }

    fn add_slot_file(&mut self, path: &Path) -> Result<u64, InputError> {
        let source = self.places.add(&path.display().to_string(), "shred");
        let (mut block, mut items, mut strange) = (BlockReader::default(), 0, 0);
        let damaged = slot_file::read(path, |bytes| {
            items += 1;
            match ShredView::read(bytes) {
                Some(shred) => {
                    self.see_shred(&shred, Place { source, number: u64::from(shred.index) });
                    block.add(&shred);
                }
                None => strange += 1,
            }
        })
        .map_err(|source| InputError::Io { path: path.to_owned(), source })?;
        self.see_block(&block, source, damaged + strange);
        Ok(items)
    }

    /// Slots ascend in a capture, so one block at a time is held.
    fn add_shred_capture(&mut self, path: &Path, input: &mut impl Read) -> Result<u64, InputError> {
        let source = self.places.add(&path.display().to_string(), "shred");
        let (mut block, mut slot, mut number, mut strange) = (BlockReader::default(), None, 0u64, 0);
        let mut bytes = Vec::new();
        while let Some(length) = next_length(input).map_err(|error| io_error(path, error))? {
            if length > SHRED_BYTES_MAX {
                return Err(InputError::Unknown(path.to_owned()));
            }
            bytes.resize(length as usize, 0);
            input.read_exact(&mut bytes).map_err(|error| io_error(path, error))?;
            number += 1;
            let Some(shred) = ShredView::read(&bytes) else {
                strange += 1;
                continue;
            };
            if slot != Some(shred.slot) {
                self.see_block(&std::mem::take(&mut block), source, 0);
                slot = Some(shred.slot);
            }
            self.see_shred(&shred, Place { source, number });
            block.add(&shred);
        }
        self.see_block(&block, source, strange);
        Ok(number)
    }

    fn see_block(&mut self, block: &BlockReader, source: usize, damaged: u64) {
        let unread = block.transactions(|index, transaction| {
            self.see_transaction(transaction, Place { source, number: u64::from(index) });
        });
        self.count_other(|verdict| verdict.passed_over += unread + damaged);
    }
}

fn io_error(path: &Path, source: io::Error) -> InputError {
    InputError::Io { path: path.to_owned(), source }
}

/// `None` at the end.
fn next_length(input: &mut impl Read) -> io::Result<Option<u32>> {
    let mut bytes = [0; 4];
    match input.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(u32::from_le_bytes(bytes))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}
