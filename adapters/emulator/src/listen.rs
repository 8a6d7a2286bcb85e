//! One listening socket for each thread.

use std::io;
use std::net::{SocketAddr, TcpListener};

use anyhow::Context as _;
use socket2::{Domain, Protocol, Socket, Type};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// The listening sockets of all threads, on one address.
#[derive(Debug)]
pub(crate) struct Listeners {
    address: SocketAddr,
    sockets: Vec<TcpListener>,
}

impl Listeners {
    pub(crate) fn bind(address: SocketAddr, threads: usize) -> anyhow::Result<Self> {
        Self::open(address, threads).with_context(|| {
            format!("cannot listen on {address}; choose another address with --listen ADDRESS:PORT")
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn into_sockets(self) -> Vec<TcpListener> {
        self.sockets
    }

    fn open(address: SocketAddr, threads: usize) -> io::Result<Self> {
        refuse_taken(address)?;
        let first = open_socket(address)?;
        let address = first.local_addr()?;
        let mut sockets = vec![first];
        while sockets.len() < threads {
            sockets.push(open_another(&sockets[0], address)?);
        }
        Ok(Self { address, sockets })
    }
}

/// Sockets that share a port also share it with another program of the same user, so ask first without sharing.
fn refuse_taken(address: SocketAddr) -> io::Result<()> {
    if address.port() == 0 {
        return Ok(());
    }
    let probe = new_socket(address)?;
    probe.bind(&address.into())?;
    probe.listen(1)
}

fn open_socket(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = new_socket(address)?;
    share_port(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier run that linger in TIME_WAIT must not keep the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// Only Linux spreads connections evenly over sockets that share a port.
#[cfg(target_os = "linux")]
fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(target_os = "linux"))]
fn share_port(_: &Socket) -> io::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
fn open_another(_: &TcpListener, address: SocketAddr) -> io::Result<TcpListener> {
    open_socket(address)
}

/// Elsewhere the threads take turns at one socket.
#[cfg(not(target_os = "linux"))]
fn open_another(first: &TcpListener, _: SocketAddr) -> io::Result<TcpListener> {
    first.try_clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_an_error_that_names_the_address_and_the_flag() {
        let first = Listeners::bind("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let error = Listeners::bind(first.address(), 2).unwrap_err();
        let message = format!("{error:#}");
        assert!(message.contains(&first.address().to_string()), "{message}");
        assert!(message.contains("--listen"), "{message}");
        assert_eq!(first.into_sockets().len(), 2, "one socket for each thread");
    }

    #[test]
    fn a_port_is_free_again_once_its_listeners_are_gone() {
        let address = Listeners::bind("127.0.0.1:0".parse().unwrap(), 2).unwrap().address();
        assert!(Listeners::bind(address, 2).is_ok());
    }
}
