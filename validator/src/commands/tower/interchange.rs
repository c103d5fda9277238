//! The interchange file: a tower as people and other programs can read it, with the signed bytes in it, so that it
//! proves itself. Readable fields that do not say what the signed bytes say make the file unusable.

use {
    super::FileTower,
    base64::{Engine, prelude::BASE64_STANDARD},
    serde::{Deserialize, Serialize},
    tandem_tower_storage::StoredTower,
    tandem_types::{Hash, Pubkey, Slot},
};

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interchange {
    format: String,
    version: u32,
    genesis_hash: String,
    identity: String,
    #[serde(default)]
    vote_account: Option<String>,
    votes: Vec<Vote>,
    root: Option<Slot>,
    /// Highest leader slot ever claimed for the identity: below and at it no block may be signed again.
    #[serde(default)]
    watermark: Option<Slot>,
    last_vote_hash: Option<String>,
    /// Agave's `tower-1_9-<identity>.bin`, base64.
    signed_tower: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vote {
    slot: Slot,
    confirmations: u32,
}

impl Interchange {
    pub fn of(
        tower: &StoredTower,
        genesis_hash: &Hash,
        identity: &Pubkey,
        vote_account: Option<Pubkey>,
        watermark: Option<Slot>,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            genesis_hash: genesis_hash.to_string(),
            identity: identity.to_string(),
            vote_account: vote_account.map(|account| account.to_string()),
            votes: votes(tower),
            root: tower.tower().root,
            watermark,
            last_vote_hash: tower.last_vote().map(|vote| vote.hash.to_string()),
            signed_tower: BASE64_STANDARD.encode(tower.bytes()),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("invariant: plain fields with string keys always encode");
        text.push(b'\n');
        text
    }

    /// Reads and checks a file. `Err`: why it cannot be used.
    pub fn read(bytes: &[u8], expected: Option<Pubkey>) -> Result<FileTower, String> {
        let file: Self = serde_json::from_slice(bytes).map_err(|error| format!("not an interchange file: {error}"))?;
        if file.format != FORMAT || file.version != VERSION {
            let (format, version) = (&file.format, file.version);
            return Err(format!(
                "its format is {format:?} version {version}, this program reads {FORMAT:?} version {VERSION}"
            ));
        }
        let named = |what: &str, text: &str| format!("its {what} {text:?} is not base58");
        let identity: Pubkey = file.identity.parse().map_err(|_| named("identity", &file.identity))?;
        if let Some(expected) = expected.filter(|expected| *expected != identity) {
            return Err(format!("it is the tower of {identity}, not of {expected}"));
        }
        let genesis_hash: Hash = file.genesis_hash.parse().map_err(|_| named("genesis hash", &file.genesis_hash))?;
        let account = |text: &String| text.parse::<Pubkey>().map_err(|_| named("vote account", text));
        let vote_account = file.vote_account.as_ref().map(account).transpose()?;
        let signed = BASE64_STANDARD
            .decode(&file.signed_tower)
            .map_err(|error| format!("its signed tower is not base64 ({error})"))?;
        let tower = StoredTower::decode(signed, &identity).map_err(|error| error.to_string())?;
        if file.votes != votes(&tower) || file.root != tower.tower().root {
            return Err("its votes or root are not those of its signed tower: somebody edited it".to_owned());
        }
        Ok(FileTower { identity, tower, genesis_hash: Some(genesis_hash), vote_account, watermark: file.watermark })
    }
}

fn votes(tower: &StoredTower) -> Vec<Vote> {
    tower.tower().votes.iter().map(|&(slot, confirmations)| Vote { slot, confirmations }).collect()
}

const FORMAT: &str = "tandem tower interchange";
const VERSION: u32 = 1;
