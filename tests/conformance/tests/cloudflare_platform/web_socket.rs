//! A WebSocket goes through to the backend, whatever the runtime.

use std::net::SocketAddr;

use tokio_tungstenite::tungstenite::{self, Message};

use super::client::connect;
use super::edge;

fn talk(edge: SocketAddr) {
    let (mut socket, response) = tungstenite::client("ws://shop.test/socket", connect(edge)).unwrap();
    assert_eq!(response.status(), 101);
    for message in [Message::text("hello"), Message::binary(vec![7; 100_000])] {
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
    socket.close(None).unwrap();
}

#[test]
fn workerd_passes_a_web_socket_through() {
    let edge = edge::shared();
    talk(edge.address());
}
