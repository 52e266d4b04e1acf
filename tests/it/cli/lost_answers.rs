//! Exit code 5: the call went out, its answer never came.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Cli, text, video, with};

/// Stands between a client and the store of `cli`: passes on everything, but ends the connection in
/// place of the answer to the first call that carries `word`. Returns its address.
fn lossy_proxy(cli: &Cli, word: &'static str) -> String {
    let (socket, database) = cli.url.split_once("?db=").expect("a database");
    let socket = socket
        .strip_prefix("redis+unix://")
        .expect("a unix socket")
        .to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!(
        "redis://{}/{database}",
        listener.local_addr().expect("an address")
    );
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let store = UnixStream::connect(&socket).expect("the store");
            pass_on(client, store, word);
        }
    });
    url
}

fn pass_on(client: TcpStream, store: UnixStream, word: &'static str) {
    let seen = Arc::new(AtomicBool::new(false));
    let (mut from_client, mut to_store) = (
        client.try_clone().expect("clone"),
        store.try_clone().expect("clone"),
    );
    let noticed = Arc::clone(&seen);
    std::thread::spawn(move || {
        let mut call = Vec::new();
        let mut piece = [0; 16_384];
        while let Ok(length @ 1..) = from_client.read(&mut piece) {
            call.extend_from_slice(&piece[..length]);
            if call
                .windows(word.len())
                .any(|window| window == word.as_bytes())
            {
                // Before the call goes on: its answer comes after it.
                noticed.store(true, Ordering::SeqCst);
            }
            if to_store.write_all(&piece[..length]).is_err() {
                break;
            }
        }
        let _ = to_store.shutdown(Shutdown::Both);
    });
    let (mut from_store, mut to_client) = (store, client);
    std::thread::spawn(move || {
        let mut piece = [0; 16_384];
        while let Ok(length @ 1..) = from_store.read(&mut piece) {
            if seen.load(Ordering::SeqCst) || to_client.write_all(&piece[..length]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
}

#[test]
fn promise_10_an_unknown_outcome_names_the_key_that_resolves_it() {
    for key in [None, Some("click-1")] {
        let cli = Cli::funded(100);
        let (warm_up, flags) = (video(1_000), video(5_000));
        // The store knows the script by now, so that the call with the lost answer does its work.
        cli.ok(&with("submit", &warm_up, &[]));
        let own_key: Vec<&str> = key
            .map(|key| vec!["--idempotency-key", key])
            .unwrap_or_default();
        let lossy = Cli {
            url: lossy_proxy(&cli, "image-to-video"),
        };
        let unknown = lossy.fails(5, &with("submit", &flags, &own_key));
        assert_eq!(unknown["type"], "unknown_outcome");
        let repeat = text(&unknown["idempotency_key"]);
        assert!(
            text(&unknown["message"]).contains(&format!("--idempotency-key {repeat}")),
            "{unknown}"
        );
        assert_eq!(key.unwrap_or(repeat), repeat);
        assert_eq!(cli.balance(), (58, 42), "it had happened");

        let resolved = cli.ok(&with("submit", &flags, &["--idempotency-key", repeat]));
        assert_eq!(resolved["status"], "replayed");
        if key.is_none() {
            let by_job = cli.ok(&with("submit", &flags, &["--job", repeat]));
            assert_eq!(
                (&by_job["status"], &by_job["job"]),
                (&resolved["status"], &resolved["job"])
            );
        }
        assert_eq!(cli.balance(), (58, 42), "and it happened once");
        cli.assert_sound();
    }
}

#[test]
fn a_grant_whose_answer_is_lost_names_its_operation_id() {
    let cli = Cli::funded(100);
    let lossy = Cli {
        url: lossy_proxy(&cli, "top-up"),
    };
    let grant = [
        "account",
        "grant",
        "acme",
        "--credits",
        "5",
        "--reason",
        "top-up",
    ];
    let unknown = lossy.fails(5, &grant);
    let operation = text(&unknown["op_id"]);
    assert!(
        text(&unknown["message"]).contains(&format!("--op-id {operation}")),
        "{unknown}"
    );
    let resolved = cli.ok(&[&grant[..], &["--op-id", operation]].concat());
    assert_eq!(resolved["status"], "replayed");
    assert_eq!(cli.balance(), (105, 0));
}

#[test]
fn a_connection_that_breaks_before_the_call_is_no_unknown_outcome() {
    let cli = Cli::funded(100);
    let lossy = Cli {
        url: lossy_proxy(&cli, "INFO"),
    };
    let flags = video(5_000);
    let refused = lossy.fails(1, &with("submit", &flags, &[]));
    assert_eq!(refused["type"], "unreachable");
    assert_eq!(cli.balance(), (100, 0));
}
