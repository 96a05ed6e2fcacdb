//! Asks a broker who is in the cluster: the smallest request of Kafka's protocol that shows that it serves (Metadata,
//! version 1: <https://kafka.apache.org/protocol#The_Messages_Metadata>).

use std::io::{Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(2);

/// How many brokers the one at `port` knows.
pub(crate) fn brokers(port: u16) -> Result<usize> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // Api key 3, version 1, correlation 7, no client id, no topics.
    let request = [0, 3, 0, 1, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 0];
    stream.write_all(&(request.len() as u32).to_be_bytes())?;
    stream.write_all(&request)?;
    // Size, correlation, then the list of brokers.
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    Ok(u32::from_be_bytes([head[8], head[9], head[10], head[11]]) as usize)
}
