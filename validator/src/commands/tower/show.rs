//! `validator tower show`.

use {
    super::read_store,
    crate::{args::TowerShowArgs, commands::place::Place, exit::Failure},
    serde_json::{Value, json},
    std::path::Path,
    tandem_env::wall_clock,
    tandem_tower_storage::{StoreSnapshot, StoredTower},
    tandem_types::Slot,
};

pub fn show(ledger: &Path, args: &TowerShowArgs) -> Result<(), Failure> {
    let place = Place::new(ledger, &args.place)?;
    let snapshot = read_store(&place)?;
    let value = describe(&place, &snapshot);
    if args.format.json() {
        println!("{value}");
    } else {
        print(&value);
    }
    Ok(())
}

fn describe(place: &Place, snapshot: &StoreSnapshot) -> Value {
    let now_ms = wall_clock().0;
    let age_s = |ms: u64| now_ms.saturating_sub(ms) / 1_000;
    let owner = snapshot.owner.as_ref().map(|owner| {
        json!({
            "term": owner.term.0,
            "host": owner.host,
            "instance": owner.instance.to_string(),
            "version": owner.version,
            "released": owner.released,
            "slotAtClaim": owner.slot_at_claim,
            "claimedAgeSeconds": age_s(owner.claimed_at.0),
        })
    });
    let tower = snapshot.tower.as_ref().map(|tower| {
        let votes: Vec<Value> = tower.tower().votes.iter().map(|vote| lockout(*vote)).collect();
        json!({
            "lastVote": tower.last_slot(),
            "lastVoteHash": tower.last_vote().map(|vote| vote.hash.to_string()),
            "root": tower.tower().root,
            "votes": votes,
            "lastVoteAgeSeconds": vote_age_s(tower, now_ms),
        })
    });
    json!({
        "identity": place.identity.to_string(),
        "genesisHash": place.genesis_hash.to_string(),
        "owner": owner,
        "ownerRevision": snapshot.owner_revision,
        "tower": tower,
        "towerSignedBy": snapshot.signed_by.map(|signer| signer.to_string()),
        "voteAccountSpeaksThrough": snapshot.speaker.map(|speaker| speaker.to_string()),
        "watermark": snapshot.window.map(|window| window.watermark),
        "intent": snapshot.intent.as_ref().map(|intent| json!({ "from": intent.from, "to": intent.to })),
        "revision": snapshot.revision,
        "storeId": format!("{:016x}", snapshot.store_id),
    })
}

/// The vote forbids other forks up to and including `until`.
fn lockout((slot, confirmations): (Slot, u32)) -> Value {
    let until = slot.saturating_add(1u64.checked_shl(confirmations).unwrap_or(u64::MAX));
    json!({ "slot": slot, "confirmations": confirmations, "lockedUntil": until })
}

/// By the timestamp the vote carried, which is the voter's clock in whole seconds.
fn vote_age_s(tower: &StoredTower, now_ms: u64) -> Option<u64> {
    let (slot, at) = tower.last_timestamp()?;
    let at = u64::try_from(at).ok()?;
    (Some(slot) == tower.last_slot()).then(|| (now_ms / 1_000).saturating_sub(at))
}

fn print(value: &Value) {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    };
    println!("Identity:   {}", text(&value["identity"]));
    println!("Genesis:    {}", text(&value["genesisHash"]));
    let owner = &value["owner"];
    if owner.is_null() {
        println!("Owner:      none, nobody ever claimed this identity here");
    } else {
        let state = if owner["released"] == true { "released by" } else { "owned by" };
        println!(
            "Owner:      term {}, {state} {} (instance {})",
            owner["term"],
            text(&owner["host"]),
            text(&owner["instance"])
        );
        println!(
            "            version {}, claimed {} s ago at slot {}",
            text(&owner["version"]),
            owner["claimedAgeSeconds"],
            owner["slotAtClaim"]
        );
    }
    if !value["voteAccountSpeaksThrough"].is_null() {
        println!(
            "Moved:      the vote account speaks through identity {} now",
            text(&value["voteAccountSpeaksThrough"])
        );
    }
    let tower = &value["tower"];
    if tower.is_null() {
        println!("Tower:      none");
    } else {
        let age = tower["lastVoteAgeSeconds"].as_u64().map_or(String::new(), |age| format!(", {age} s ago"));
        println!("Last vote:  slot {}{age}, bank hash {}", text(&tower["lastVote"]), text(&tower["lastVoteHash"]));
        println!("Root:       {}", text(&tower["root"]));
        println!("Lockouts:   {:>12}  {:>13}  {:>14}", "slot", "confirmations", "locked until");
        for vote in tower["votes"].as_array().into_iter().flatten().rev() {
            println!("            {:>12}  {:>13}  {:>14}", vote["slot"], vote["confirmations"], vote["lockedUntil"]);
        }
    }
    println!("Watermark:  {} (highest leader slot claimed)", text(&value["watermark"]));
    if !value["intent"].is_null() {
        println!("Intent:     {} asked {} to let go", text(&value["intent"]["to"]), text(&value["intent"]["from"]));
    }
    println!("Store:      revision {}, id {}", value["revision"], text(&value["storeId"]));
}
