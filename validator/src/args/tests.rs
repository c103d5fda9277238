use {super::*, clap::error::ErrorKind};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("validator").chain(line.split_whitespace()))
}

fn run_args(line: &str) -> RunArgs {
    let cli = parse(line).expect(line);
    cli.run_args().expect(line).expect("the validator is to run").clone()
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

/// Solana's failover guide, word for word.
#[test]
fn the_guides_flags_mean_what_the_guide_says() {
    let store = "--tower-storage etcd --etcd-cacert-file certs/etcd-ca.pem --etcd-cert-file certs/validator.pem \
                 --etcd-key-file certs/validator-key.pem --etcd-endpoint 127.0.0.1:2379";
    let primary =
        run_args(&format!("--identity validator-keypair.json --vote-account vote-account-keypair.json {store}"));
    assert_eq!(primary.identity, Some("validator-keypair.json".into()));
    assert_eq!(primary.store.tower_storage, TowerStorageKind::Etcd);
    assert_eq!(primary.store.etcd_endpoint, ["127.0.0.1:2379"]);
    assert_eq!(primary.store.etcd_cacert_file, Some("certs/etcd-ca.pem".into()));
    assert_eq!((primary.failback, primary.on_identity_loss), (Failback::Preferred, OnLoss::Exit));
    assert!(!primary.no_check_vote_account);

    let secondary = run_args(&format!(
        "--identity secondary-validator-keypair.json --no-check-vote-account --authorized-voter validator-keypair.json {store}"
    ));
    assert!(secondary.no_check_vote_account);
    assert_eq!(secondary.authorized_voter, [PathBuf::from("validator-keypair.json")]);

    let cli = parse("wait-for-restart-window --identity validator-keypair.json").expect("the guide's first half");
    let Some(Command::WaitForRestartWindow(wait)) = cli.command else { panic!("another command") };
    assert_eq!(wait.identity.as_deref(), Some("validator-keypair.json"));
    assert_eq!((wait.min_idle_time, wait.max_delinquent_stake), (10.0, 5));
    let cli = parse("set-identity validator-keypair.json").expect("the guide's second half");
    let Some(Command::SetIdentity(set)) = cli.command else { panic!("another command") };
    assert_eq!(set.identity, Some("validator-keypair.json".into()));
}

#[test]
fn flags_of_agaves_start_scripts_are_taken() {
    let line = "--identity i.json --vote-account v.json --ledger l --accounts a --log v.log --rpc-port 8899 --private-rpc \
                --full-rpc-api --dynamic-port-range 8000-8020 --entrypoint a:8001 --entrypoint b:8001 --known-validator K \
                --only-known-rpc --expected-genesis-hash H --expected-shred-version 5 --wal-recovery-mode \
                skip_any_corrupt_record --no-port-check --no-wait-for-vote-to-start-leader --require-tower \
                --etcd-endpoint a:1,b:2 --etcd-endpoints c:3 --etcd-domain-name etcd.example --limit-ledger-size";
    let args = run_args(line);
    assert_eq!(args.entrypoint, ["a:8001", "b:8001"]);
    assert_eq!(args.store.etcd_endpoint, ["a:1", "b:2", "c:3"]);
    assert!(args.private_rpc && args.require_tower);
    assert_eq!(
        args.ignored.given(),
        [
            "--full-rpc-api",
            "--no-wait-for-vote-to-start-leader",
            "--no-port-check",
            "--only-known-rpc",
            "--known-validator",
            "--limit-ledger-size",
            "--accounts",
            "--wal-recovery-mode"
        ]
    );
    assert_eq!(run_args("--limit-ledger-size 50000000 -i k").identity, Some("k".into()));
}

#[test]
fn the_ledger_may_be_named_before_or_after_the_command() {
    for line in ["--ledger X set-identity K", "set-identity --ledger X K", "set-identity K -l X", "-l X set-identity K"]
    {
        let cli = parse(line).expect(line);
        assert_eq!(cli.ledger, PathBuf::from("X"), "{line}");
        let Some(Command::SetIdentity(args)) = cli.command else { panic!("{line}") };
        assert_eq!(args.identity, Some("K".into()), "{line}");
    }
    let cli = parse("--ledger X authorized-voter add K").expect("a command of a command");
    assert_eq!(cli.ledger, PathBuf::from("X"));
    assert_eq!(parse("exit -f").expect("exit").ledger, PathBuf::from("ledger"), "as agave has it");
}

#[test]
fn the_word_run_may_be_there_or_not() {
    assert_eq!(run_args("run --identity K --rpc-port 1"), run_args("--identity K --rpc-port 1"));
    assert_eq!(parse("--ledger X run -i K").expect("run").ledger, PathBuf::from("X"));
    let error = parse("--identity K run").expect("parsed").run_args().expect_err("K would be forgotten");
    assert_eq!(error.kind(), ErrorKind::ArgumentConflict);
    assert!(parse("monitor --once").expect("monitor").run_args().expect("no conflict").is_none());
}

#[test]
fn nonsense_is_refused() {
    for line in [
        "--tower-storage consul",
        "--failback perhaps",
        "--rpc-port 70000",
        "--etcd-write-timeout 0",
        "--no-such-flag",
        "genesis",
        "genesis --bootstrap-validator a b",
        "wait-for-restart-window --min-idle-time -1",
        "wait-for-restart-window --min-idle-time NaN",
        "wait-for-restart-window --max-delinquent-stake 101",
        "dev --base-port 80",
        "authorized-voter",
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

/// Every `validator …` line of the README and the book parses.
#[test]
fn what_the_book_shows_can_be_typed() {
    let pages = [
        include_str!("../../../README.md"),
        include_str!("../../../docs/book/src/playground.md"),
        include_str!("../../../docs/book/src/pair.md"),
        include_str!("../../../docs/book/src/handover.md"),
        include_str!("../../../docs/book/src/upgrade.md"),
        include_str!("../../../docs/book/src/monitoring.md"),
        include_str!("../../../docs/book/src/tools.md"),
        include_str!("../../../docs/book/src/agave.md"),
    ];
    let mut seen = 0;
    for line in pages.iter().flat_map(|page| shell_lines(page)) {
        for command in line.split("&&").filter_map(|command| command.trim().strip_prefix("validator ")) {
            // What the shell would take away.
            let words = command.split(['<', '#', '|']).next().unwrap_or_default();
            parse(words).unwrap_or_else(|error| panic!("{command}: {error}"));
            seen += 1;
        }
    }
    assert!(seen >= 12, "only {seen} command lines were found");
}

/// Lines of fenced shell blocks, with continued lines joined.
fn shell_lines(page: &str) -> Vec<String> {
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(|block| block.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}
