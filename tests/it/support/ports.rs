//! Ports for servers that cannot take any free one by themselves.

use std::net::TcpListener;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where ports of servers are looked for: below those that the system gives to outgoing connections, one
/// of which could take a port between the look and the server's start.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// Ports that nobody listens on, and that no other test of this process was given.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(rand::random()));
    let width = u32::from(PORTS.end - PORTS.start);
    let ports = std::iter::repeat_with(|| {
        let n = NEXT.fetch_add(1, Ordering::Relaxed) % width;
        PORTS.start + u16::try_from(n).expect("below the width")
    });
    ports
        .take(width as usize)
        .filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .take(count)
        .collect()
}

/// One port of them.
pub(crate) fn free_port() -> u16 {
    free_ports(1)[0]
}
