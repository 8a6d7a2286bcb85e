//! Clients and backends that mean harm, byte by byte: each request is refused, or reaches the backend as one that can be
//! read in one way only.

mod answers;
mod framing;
mod heads;
mod http2;
mod pace;
mod table;
mod wire;
