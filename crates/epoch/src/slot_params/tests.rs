use super::*;

const EPOCH: u64 = 64;

fn table(activations: &[(Pubkey, Slot)], ms_per_slot: u128) -> SlotParamsTable {
    let schedule = EpochSchedule::custom(EPOCH, EPOCH, false);
    let genesis = SlotParams::genesis(ms_per_slot * 1_000_000, 78_892_314.984, None);
    let activated = |id: &Pubkey| activations.iter().find(|(feature, _)| feature == id).map(|(_, slot)| *slot);
    SlotParamsTable::from_activations(activated, &schedule, genesis)
}

fn ids() -> [Pubkey; 4] {
    [
        reduce_slot_time_to_350ms::id(),
        reduce_slot_time_to_300ms::id(),
        reduce_slot_time_to_250ms::id(),
        reduce_slot_time_to_200ms::id(),
    ]
}

fn starts(table: &SlotParamsTable) -> Vec<(Slot, u128)> {
    table.rows().map(|(slot, row)| (slot, row.ns_per_slot / 1_000_000)).collect()
}

#[test]
fn all_active_at_genesis_means_200_ms_from_epoch_1() {
    let table = table(&ids().map(|id| (id, 0)), 400);
    assert_eq!(starts(&table), [(0, 400), (EPOCH, 200)]);
    assert_eq!(table.at(EPOCH - 1).data_shreds_max, 32_768);
    assert_eq!(table.at(EPOCH).data_shreds_max, 16_384);
    assert_eq!(table.at(u64::MAX).hashes_per_tick, Some(31_250));
    assert_eq!(table.at(EPOCH).hashes_per_tick_after(Some(9)), Some(31_250));
    assert_eq!(table.at(EPOCH).hashes_per_tick_after(None), None, "a cluster without hashes keeps none");
}

#[test]
fn rows_come_one_by_one() {
    let [a350, b300, c250, d200] = ids();
    assert_eq!(
        starts(&table(&[(a350, 5), (b300, 70), (c250, 130), (d200, 200)], 400)),
        [(0, 400), (64, 350), (128, 300), (192, 250), (256, 200)]
    );
    // Slots never get longer again: a longer row that comes later, or together, is passed over.
    assert_eq!(starts(&table(&[(d200, 5), (a350, 70)], 400)), [(0, 400), (64, 200)]);
    assert_eq!(starts(&table(&[(c250, 64), (b300, 65), (a350, 1)], 400)), [(0, 400), (64, 350), (128, 250)]);
    // Rows longer than the genesis' own slots are passed over.
    assert_eq!(starts(&table(&ids().map(|id| (id, 0)), 225)), [(0, 225), (64, 200)]);
    assert_eq!(starts(&table(&ids().map(|id| (id, 0)), 100)), [(0, 100)]);
}

/// SIMD-0525, and agave's test_cost_limits_scaling_matches_simd_0525.
#[test]
fn cost_limits() {
    for (row, account, block, bytes) in [
        (LEGACY, 40_000_000, 100_000_000, 100_000_000),
        (ROW_350_MS, 35_000_000, 87_500_000, 87_500_000),
        (ROW_300_MS, 30_000_000, 75_000_000, 75_000_000),
        (ROW_250_MS, 25_000_000, 62_500_000, 62_500_000),
        (ROW_200_MS, 20_000_000, 50_000_000, 50_000_000),
    ] {
        let raised = CostLimits { account_cost: account, block_cost: block, allocated_bytes: bytes };
        assert_eq!(row.cost_limits(true), raised);
        let CostLimits { account_cost, block_cost, allocated_bytes } = row.cost_limits(false);
        assert_eq!((account_cost * 100 / 60, block_cost * 100 / 60, allocated_bytes), (account, block, bytes));
    }
}

#[test]
fn durations_cross_rows() {
    let [a350, .., d200] = ids();
    let table = table(&[(a350, 0), (d200, 64)], 400);
    let ms = |first, last| table.duration_ns(first, last) / 1_000_000;
    assert_eq!((ms(0, 0), ms(0, 63), ms(63, 64), ms(5, 4)), (400, 25_600, 750, 0));
    assert_eq!(ms(0, 191), 64 * (400 + 350 + 200));
    assert_eq!(ms(100, 149), 28 * 350 + 22 * 200);
    let years = 64.0 / 78_892_314.984 + 64.0 / 90_162_645.696 + 10.0 / 157_784_629.968;
    assert_eq!(table.duration_years(0, 138), years);
    assert_eq!(table.duration_years(70, 80), 10.0 / 90_162_645.696);
    assert_eq!(table.duration_years(80, 80), 0.0);
    let schedule = EpochSchedule::custom(EPOCH, EPOCH, false);
    assert_eq!(table.epoch_years(1, &schedule), 64.0 / 90_162_645.696);
}
