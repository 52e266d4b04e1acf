//! Outputs fetched from a real server and stored.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_LENGTH, LOCATION};
use axum::response::Response;
use axum::routing::get;
use base64::Engine;
use futures_util::{StreamExt, stream};
use ipnet::IpNet;
use meterline::dev::simulator::making::{Kind, Wish, make};
use meterline::media::Error;
use meterline::media::artifacts::{ArtifactName, ArtifactStore, Fetched};
use meterline::media::fetch::{Fetcher, Limits, Source};
use tempfile::TempDir;

const MAX_BYTES: u64 = 100_000;

/// A file server with every kind of bad habit.
async fn file_server() -> SocketAddr {
    let answer = |status: u16, location: &'static str| async move {
        Response::builder()
            .status(status)
            .header(LOCATION, location)
            .body(Body::empty())
            .unwrap()
    };
    let endless =
        || stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[7; 4096])));
    let router = Router::new()
        .route("/gif", get(|| async { "GIF89a, in a way" }))
        .route("/hop1", get(move || answer(302, "/gif")))
        .route("/hop2", get(move || answer(301, "/hop1")))
        .route("/hop3", get(move || answer(307, "/hop2")))
        .route("/hop4", get(move || answer(308, "/hop3")))
        .route(
            "/inward",
            get(move || answer(302, "http://10.0.0.1/secret")),
        )
        .route(
            "/metadata",
            get(move || answer(302, "http://169.254.169.254/latest/meta-data")),
        )
        .route("/gone", get(move || answer(404, "")))
        .route(
            "/endless",
            get(move || async move { Body::from_stream(endless()) }),
        )
        .route(
            "/announced",
            get(|| async {
                let pending = stream::pending::<Result<Bytes, std::io::Error>>();
                let answer = Response::builder().header(CONTENT_LENGTH, MAX_BYTES + 1);
                answer.body(Body::from_stream(pending)).unwrap()
            }),
        )
        .route(
            "/stalled",
            get(|| async {
                let head = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"GIF89a"))]);
                Body::from_stream(head.chain(stream::pending()))
            }),
        )
        .route(
            "/broken",
            get(|| async {
                let cut = [
                    Ok(Bytes::from_static(b"GIF89a")),
                    Err(std::io::Error::other("cut")),
                ];
                Body::from_stream(stream::iter(cut))
            }),
        )
        .route("/silent", get(std::future::pending::<Response>));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

struct House {
    fetcher: Fetcher,
    store: ArtifactStore,
    _dir: TempDir,
}

fn house_with(limits: Limits) -> House {
    let dir = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(dir.path()).unwrap();
    House {
        fetcher: Fetcher::new(limits),
        store,
        _dir: dir,
    }
}

fn house() -> House {
    house_with(Limits {
        max_bytes: MAX_BYTES,
        ..Limits::default()
    })
}

impl House {
    async fn fetch(&self, source: &Source, allow: &[&str]) -> Result<Fetched, Error> {
        let allow: Vec<IpNet> = allow.iter().map(|net| net.parse().unwrap()).collect();
        self.fetcher.fetch(source, &allow, &self.store).await
    }

    async fn fetch_url(&self, url: String) -> Result<Fetched, Error> {
        self.fetch(&Source::parse(&url).unwrap(), &["127.0.0.0/8"])
            .await
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for folder in std::fs::read_dir(self.store.dir()).unwrap() {
            let entries = std::fs::read_dir(folder.unwrap().path()).unwrap();
            found.extend(entries.map(|entry| entry.unwrap().path()));
        }
        found
    }
}

#[tokio::test]
async fn an_output_is_fetched_through_up_to_three_redirects_and_kept() {
    let server = file_server().await;
    let house = house();
    for page in ["gif", "hop1", "hop2", "hop3"] {
        let fetched = house
            .fetch_url(format!("http://{server}/{page}"))
            .await
            .unwrap();
        assert_eq!(fetched.bytes(), 16);
        let name = ArtifactName {
            job: "j01-a",
            submission: 1,
            index: 0,
        };
        let stored = house.store.keep(fetched, name).await.unwrap();
        assert_eq!(
            stored.place,
            format!("j01-a/1-0-{}.gif", &stored.sha256[..16])
        );
    }
    assert_eq!(house.files().len(), 1);
    let refused = house.fetch_url(format!("http://{server}/hop4")).await;
    assert!(matches!(refused, Err(Error::Blocked(_))), "{refused:?}");
}

#[tokio::test]
async fn inner_addresses_are_refused_unless_they_are_allowed() {
    let server = file_server().await;
    let house = house();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let source = Source::parse(&format!("http://{host}:{}/gif", server.port())).unwrap();
        for allow in [&[][..], &["10.0.0.0/8"]] {
            let refused = house.fetch(&source, allow).await;
            assert!(
                matches!(refused, Err(Error::Blocked(_))),
                "{host}: {refused:?}"
            );
        }
        assert!(
            house.fetch(&source, &["127.0.0.0/8"]).await.is_ok(),
            "{host}"
        );
    }
}

#[tokio::test]
async fn a_name_that_stands_for_an_inner_address_is_refused_for_https_too() {
    let source = Source::parse("https://localhost/gif").unwrap();
    let refused = house().fetch(&source, &[]).await;
    assert!(matches!(refused, Err(Error::Blocked(_))), "{refused:?}");
}

#[tokio::test]
async fn a_redirect_to_an_inner_address_is_refused() {
    let server = file_server().await;
    for page in ["inward", "metadata"] {
        let refused = house().fetch_url(format!("http://{server}/{page}")).await;
        assert!(
            matches!(refused, Err(Error::Blocked(_))),
            "{page}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn an_output_above_the_limit_is_refused_announced_or_not() {
    let server = file_server().await;
    let house = house();
    for page in ["endless", "announced"] {
        let refused = house.fetch_url(format!("http://{server}/{page}")).await;
        assert!(
            matches!(
                refused,
                Err(Error::TooLarge {
                    limit_bytes: MAX_BYTES
                })
            ),
            "{refused:?}"
        );
    }
    let text = "A".repeat(MAX_BYTES as usize * 4 / 3 + 4);
    for source in [
        Source::DataUrl(format!("data:image/png;base64,{text}")),
        Source::Bytes(vec![0; MAX_BYTES as usize + 1].into()),
    ] {
        let refused = house.fetch(&source, &[]).await;
        assert!(
            matches!(refused, Err(Error::TooLarge { .. })),
            "{refused:?}"
        );
    }
    assert!(house.files().is_empty());
}

#[tokio::test]
async fn slow_and_broken_servers_are_told_apart() {
    let server = file_server().await;
    let short = Duration::from_millis(100);
    let house = house_with(Limits {
        idle: short,
        ..Limits::default()
    });
    for page in ["stalled", "silent"] {
        let refused = house.fetch_url(format!("http://{server}/{page}")).await;
        assert!(
            matches!(refused, Err(Error::Timeout)),
            "{page}: {refused:?}"
        );
    }
    let in_all = house_with(Limits {
        total: short,
        ..Limits::default()
    });
    let refused = in_all.fetch_url(format!("http://{server}/stalled")).await;
    assert!(matches!(refused, Err(Error::Timeout)), "{refused:?}");
    let broken = house.fetch_url(format!("http://{server}/broken")).await;
    assert!(matches!(broken, Err(Error::Transport(_))), "{broken:?}");
    let gone = house.fetch_url(format!("http://{server}/gone")).await;
    assert!(matches!(gone, Err(Error::Status(404))), "{gone:?}");
    let nobody = house
        .fetch_url("http://127.0.0.1:1/x?signature=secret".to_owned())
        .await;
    let error = nobody.unwrap_err();
    assert!(matches!(error, Error::Transport(_)), "{error:?}");
    assert!(
        !format!("{error:?}").contains("secret"),
        "signed addresses are not logged"
    );
    assert!(house.files().is_empty());
}

#[tokio::test]
async fn outputs_inside_the_answer_are_stored_byte_for_byte() {
    let picture = make(Wish {
        kind: Kind::Image,
        length_ms: 0,
        seed: 1,
    })
    .unwrap();
    let house = house();
    let encoded = base64::engine::general_purpose::STANDARD.encode(&picture);
    let sources = [
        Source::DataUrl(format!("data:image/png;base64,{encoded}")),
        Source::DataUrl(format!("data:;base64,{}", encoded.trim_end_matches('='))),
        Source::Bytes(picture.clone().into()),
    ];
    for (index, source) in (0..).zip(&sources) {
        let name = ArtifactName {
            job: "j01-b",
            submission: 1,
            index,
        };
        let fetched = house.fetch(source, &[]).await.unwrap();
        let stored = house.store.keep(fetched, name).await.unwrap();
        let path = house.store.path_of(&stored.place).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), picture);
    }
    for text in [
        "data:image/png;base64,!!!!",
        "data:image/png;base64,A",
        "data:image/png,x",
    ] {
        let refused = house.fetch(&Source::DataUrl(text.to_owned()), &[]).await;
        assert!(
            matches!(refused, Err(Error::BadDataUrl)),
            "{text}: {refused:?}"
        );
    }
}
