//! Messages are never posted into our own network, whatever a name resolves to and whoever redirects.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use meterline::guard::Lookup;
use meterline::webhook::{Answer, Message, Poster, Secret};

use crate::support::webhooks::*;

/// Names become what `answer` says, by the number of the question.
fn lookup(answer: impl Fn(u32) -> Vec<SocketAddr> + Send + Sync + 'static) -> Lookup {
    let asked = AtomicU32::new(0);
    Arc::new(move |_| {
        let found = answer(asked.fetch_add(1, Ordering::Relaxed));
        Box::pin(async move { Ok(found) })
    })
}

async fn post(poster: &Poster, url: &str) -> Answer {
    let message = Message {
        id: "msg_1".to_owned(),
        body: "{}".to_owned(),
    };
    let now = jiff::Timestamp::now();
    poster
        .post(url, &[Secret::of_bytes(SECRET)], &message, now)
        .await
}

fn why(answer: Answer) -> String {
    match answer {
        Answer::Failed { why, .. } => why,
        Answer::Taken { .. } | Answer::Gone => panic!("{answer:?}"),
    }
}

fn networks(list: &[&str]) -> Vec<ipnet::IpNet> {
    list.iter()
        .map(|net| net.parse().expect("a network"))
        .collect()
}

#[tokio::test]
async fn every_spelling_of_an_inner_address_is_refused() {
    let receiver = Receiver::new().await;
    let poster = Poster::new(limits(), vec![]);
    let port = receiver.address.port();
    for host in [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "2130706433",
        "0x7f.1",
        "10.0.0.1",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0.0.0.0",
        "localhost",
        "100.64.0.1",
        "192.168.1.1",
    ] {
        for url in [
            format!("https://{host}/"),
            format!("http://{host}:{port}/"),
            format!("https://{host}:{port}/"),
        ] {
            let said = why(post(&poster, &url).await);
            assert!(said.ends_with("is not allowed"), "{url}: {said}");
        }
    }
    assert!(receiver.got().is_empty());
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused_also_when_it_led_outside_before() {
    let receiver = Receiver::new().await;
    let inner = receiver.address;
    // Public when the endpoint was made, ours when the message is posted.
    let rebinding = lookup(move |n| {
        if n == 0 {
            vec!["192.0.2.7:443".parse().expect("an address")]
        } else {
            vec![inner]
        }
    });
    let poster = Poster::with_lookup(limits(), vec![], rebinding);
    for _ in 0..3 {
        let said = why(post(&poster, "https://rebind.example/").await);
        assert!(said.contains("is not allowed"), "{said}");
    }
    for mixed in [
        vec!["[::ffff:127.0.0.1]:443", "10.0.0.1:443"],
        vec!["[::1]:443", "[fe80::1]:443", "169.254.169.254:443"],
        vec![],
    ] {
        let found: Vec<SocketAddr> = mixed
            .iter()
            .map(|a| a.parse().expect("an address"))
            .collect();
        let poster = Poster::with_lookup(limits(), vec![], lookup(move |_| found.clone()));
        let said = why(post(&poster, "https://mixed.example/").await);
        assert!(said.contains("is not allowed"), "{mixed:?}: {said}");
    }
    assert!(receiver.got().is_empty());
}

#[tokio::test]
async fn of_several_addresses_only_those_that_may_be_dialled_are() {
    let receiver = Receiver::new().await;
    let (port, inner) = (receiver.address.port(), receiver.address);
    let both = lookup(move |_| vec![SocketAddr::from(([127, 0, 0, 2], port)), inner]);
    let poster = Poster::with_lookup(limits(), networks(&["127.0.0.1/32"]), both);
    let answer = post(&poster, &format!("http://some.example:{port}/")).await;
    assert_eq!(answer, Answer::Taken { status: 204 });
    assert_eq!(receiver.got().len(), 1);
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_followed_nowhere() {
    let (door, inside) = (Receiver::new().await, Receiver::new().await);
    let poster = Poster::new(limits(), networks(&["127.0.0.0/8"]));
    for status in [301, 302, 303, 307, 308] {
        for target in [
            inside.url(),
            "http://169.254.169.254/latest/meta-data".to_owned(),
            "http://10.0.0.1/".to_owned(),
        ] {
            door.then([Does::Answers(status, vec![("location", target)])]);
            assert_eq!(
                why(post(&poster, &door.url()).await),
                format!("status {status}")
            );
        }
    }
    assert!(inside.got().is_empty(), "nobody was told who was not named");
}

#[tokio::test]
async fn the_allowed_networks_are_reached_and_no_others() {
    let receiver = Receiver::new().await;
    let port = receiver.address.port();
    let poster = Poster::new(limits(), networks(&["127.0.0.0/8"]));
    assert_eq!(
        post(&poster, &receiver.url()).await,
        Answer::Taken { status: 204 }
    );
    let mapped = format!("http://[::ffff:127.0.0.1]:{port}/");
    let answer = post(&poster, &mapped).await;
    assert!(matches!(answer, Answer::Taken { .. }) || why(answer) == "no connection");
    for url in [
        format!("http://10.0.0.1:{port}/"),
        format!("http://[::1]:{port}/"),
        "ftp://127.0.0.1/".to_owned(),
        format!("http://user@127.0.0.1:{port}/"),
    ] {
        assert!(
            why(post(&poster, &url).await).ends_with("is not allowed"),
            "{url}"
        );
    }
}

#[tokio::test]
async fn an_answer_without_end_is_left_and_a_silent_one_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let endless = || {
        futures_util::stream::repeat_with(|| {
            Ok::<_, std::io::Error>(axum::body::Bytes::from_static(&[7; 4096]))
        })
    };
    let router = axum::Router::new()
        .route(
            "/endless",
            axum::routing::post(move || async move { axum::body::Body::from_stream(endless()) }),
        )
        .route(
            "/silent",
            axum::routing::post(std::future::pending::<axum::response::Response>),
        );
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut short = limits();
    short.total = std::time::Duration::from_millis(500);
    let poster = Poster::new(short, networks(&["127.0.0.0/8"]));
    let endless = post(&poster, &format!("http://{address}/endless")).await;
    assert_eq!(endless, Answer::Taken { status: 200 });
    assert_eq!(
        why(post(&poster, &format!("http://{address}/silent")).await),
        "timeout"
    );
    assert_eq!(
        why(post(&poster, "http://127.0.0.1:1/").await),
        "no connection"
    );
}
