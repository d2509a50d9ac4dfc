//! What a client sends.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use super::{BadPacket, PROTOCOL, Reader, action};
use crate::announce::{self, Event};
use crate::{InfoHash, PeerId};

/// Most torrents in one scrape: as many as fit into a packet (BEP 15).
pub const MAX_SCRAPE: usize = 74;

/// Bytes of URL data in one option (BEP 41).
const MAX_OPTION: usize = 255;
/// Bytes of URL data that are kept; a URL is shorter.
const MAX_URL_DATA: usize = 2_048;

/// Options after an announce (BEP 41).
mod option {
    pub(super) const END: u8 = 0;
    pub(super) const NOP: u8 = 1;
    pub(super) const URL_DATA: u8 = 2;
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Chosen by the client, echoed in the reply.
    pub transaction: u32,
    /// What is asked.
    pub body: Body,
}

/// See [`Request`].
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// For a connection id.
    Connect,
    /// With a connection id.
    Announce {
        /// The id.
        connection: u64,
        /// `compact`, `no_peer_id` and `tracker_id` have no place in the packet: true, true, none. `key` is 8 hex digits.
        announce: Box<announce::Request>,
        /// Path and query of the announce URL (BEP 41); empty when the client does not send them.
        url_data: String,
    },
    /// With a connection id.
    Scrape {
        /// The id.
        connection: u64,
        /// At most [`MAX_SCRAPE`].
        hashes: Vec<InfoHash>,
    },
}

/// Without the URL data, where passkeys are.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("Connect"),
            Self::Announce { announce, .. } => f.debug_tuple("Announce").field(announce).finish(),
            Self::Scrape { hashes, .. } => f.debug_tuple("Scrape").field(hashes).finish(),
        }
    }
}

impl Request {
    /// Reads a packet.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadPacket> {
        let mut reader = Reader(bytes);
        let connection = reader.u64()?;
        let action = reader.u32()?;
        let transaction = reader.u32()?;
        let body = match action {
            action::CONNECT if connection == PROTOCOL => Body::Connect,
            action::ANNOUNCE => Body::Announce {
                connection,
                announce: Box::new(read_announce(&mut reader)?),
                url_data: read_options(&mut reader),
            },
            action::SCRAPE => {
                let (hashes, _) = reader.0.as_chunks::<20>();
                let hashes = hashes.iter().take(MAX_SCRAPE);
                Body::Scrape {
                    connection,
                    hashes: hashes.map(|hash| InfoHash(*hash)).collect(),
                }
            }
            _ => return Err(BadPacket),
        };
        Ok(Self { transaction, body })
    }

    /// The packet.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (connection, action) = match &self.body {
            Body::Connect => (PROTOCOL, action::CONNECT),
            Body::Announce { connection, .. } => (*connection, action::ANNOUNCE),
            Body::Scrape { connection, .. } => (*connection, action::SCRAPE),
        };
        let mut out = Vec::with_capacity(160);
        out.extend(connection.to_be_bytes());
        out.extend(action.to_be_bytes());
        out.extend(self.transaction.to_be_bytes());
        match &self.body {
            Body::Connect => {}
            Body::Announce {
                announce, url_data, ..
            } => {
                write_announce(&mut out, announce);
                for part in url_data.as_bytes().chunks(MAX_OPTION) {
                    out.push(option::URL_DATA);
                    out.push(part.len() as u8); // at most 255
                    out.extend(part);
                }
            }
            Body::Scrape { hashes, .. } => {
                let hashes = hashes.iter().take(MAX_SCRAPE);
                hashes.for_each(|hash| out.extend(hash.0));
            }
        }
        out
    }
}

fn read_announce(reader: &mut Reader<'_>) -> Result<announce::Request, BadPacket> {
    let info_hash = InfoHash(reader.array()?);
    let peer_id = PeerId(reader.array()?);
    let downloaded = reader.u64()?;
    let left = reader.u64()?;
    let uploaded = reader.u64()?;
    let event = match reader.u32()? {
        1 => Event::Completed,
        2 => Event::Started,
        3 => Event::Stopped,
        // BEP 21 does not say how a client that paused tells it here; libtorrent sends nothing else either.
        _ => Event::None,
    };
    let ip = Ipv4Addr::from(reader.u32()?);
    let key = reader.u32()?;
    let numwant = i32::from_be_bytes(reader.array()?);
    Ok(announce::Request {
        info_hash,
        peer_id,
        port: reader.u16()?,
        uploaded,
        downloaded,
        left,
        event,
        numwant: u32::try_from(numwant).ok(),
        key: Some(format!("{key:08x}")),
        compact: true,
        no_peer_id: true,
        ip: (!ip.is_unspecified()).then_some(IpAddr::V4(ip)),
        tracker_id: None,
    })
}

fn write_announce(out: &mut Vec<u8>, announce: &announce::Request) {
    out.extend(announce.info_hash.0);
    out.extend(announce.peer_id.0);
    out.extend(announce.downloaded.to_be_bytes());
    out.extend(announce.left.to_be_bytes());
    out.extend(announce.uploaded.to_be_bytes());
    let event: u32 = match announce.event {
        Event::None | Event::Paused => 0,
        Event::Completed => 1,
        Event::Started => 2,
        Event::Stopped => 3,
    };
    out.extend(event.to_be_bytes());
    let ip = match announce.ip {
        Some(IpAddr::V4(ip)) => ip,
        _ => Ipv4Addr::UNSPECIFIED,
    };
    out.extend(ip.octets());
    let key = announce.key.as_deref();
    let key = key.and_then(|key| u32::from_str_radix(key, 16).ok());
    out.extend(key.unwrap_or_default().to_be_bytes());
    let numwant = announce.numwant.and_then(|want| i32::try_from(want).ok());
    out.extend(numwant.unwrap_or(-1).to_be_bytes());
    out.extend(announce.port.to_be_bytes());
}

/// The URL data among the options. Options of other kinds are skipped, as BEP 41 wants. What cannot be read ends them: some clients append
/// other bytes to an announce, and without its URL it is still one. More URL data than is kept ends them too, for a URL with a hole in it is
/// one that nobody sent.
fn read_options(reader: &mut Reader<'_>) -> String {
    let mut url = Vec::new();
    while let Ok(kind) = reader.u8() {
        match kind {
            option::END => break,
            option::NOP => {}
            kind => {
                let data = reader.u8().and_then(|len| reader.bytes(len.into()));
                let Ok(data) = data else { break };
                if kind != option::URL_DATA {
                    continue;
                }
                if url.len() + data.len() > MAX_URL_DATA {
                    break;
                }
                url.extend(data);
            }
        }
    }
    String::from_utf8(url).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An announce as BEP 15 lays it out, field by field.
    fn announce_bytes() -> Vec<u8> {
        let mut bytes = vec![
            1, 2, 3, 4, 5, 6, 7, 8, // connection_id
            0, 0, 0, 1, // action
            0, 0, 0x30, 0x39, // transaction_id
        ];
        bytes.extend([0xaa; 20]); // info_hash
        bytes.extend(b"-XX0001-abcdefghijkl"); // peer_id
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 10]); // downloaded
        bytes.extend([0, 0, 0, 0, 0, 0, 1, 0]); // left
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 30]); // uploaded
        bytes.extend([0, 0, 0, 2]); // event: started
        bytes.extend([0, 0, 0, 0]); // IP address
        bytes.extend([0xde, 0xad, 0xbe, 0xef]); // key
        bytes.extend([0xff; 4]); // num_want: default
        bytes.extend([0x1a, 0xe1]); // port
        assert_eq!(bytes.len(), 98);
        bytes
    }

    #[test]
    fn a_connect_is_16_bytes_with_the_magic_number() {
        let bytes = [
            0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 0, 0, 0, 7,
        ];
        let connect = Request {
            transaction: 7,
            body: Body::Connect,
        };
        assert_eq!(Request::from_bytes(&bytes), Ok(connect.clone()));
        assert_eq!(connect.to_bytes(), bytes);
        let mut noise = bytes;
        noise[0] = 1;
        assert_eq!(Request::from_bytes(&noise), Err(BadPacket));
    }

    #[test]
    fn an_announce_is_read_and_written_as_bep_15_lays_it_out() {
        let bytes = announce_bytes();
        let request = Request::from_bytes(&bytes).unwrap();
        let Body::Announce {
            connection,
            announce,
            url_data,
        } = &request.body
        else {
            panic!("{request:?}");
        };
        assert_eq!(
            (*connection, request.transaction),
            (0x0102_0304_0506_0708, 12_345)
        );
        assert_eq!(announce.info_hash, InfoHash([0xaa; 20]));
        assert_eq!(
            (announce.downloaded, announce.left, announce.uploaded),
            (10, 256, 30)
        );
        assert_eq!((announce.event, announce.port), (Event::Started, 6881));
        assert_eq!((announce.numwant, announce.ip), (None, None));
        assert_eq!(announce.key.as_deref(), Some("deadbeef"));
        assert_eq!(url_data, "");
        assert_eq!(request.to_bytes(), bytes);
    }

    #[test]
    fn url_data_is_put_together_from_its_options() {
        let mut bytes = announce_bytes();
        bytes.extend([1, 2, 5]); // NOP, URL data of 5 bytes
        bytes.extend(b"/dir?");
        bytes.extend([9, 1, 0xff]); // an option nobody knows
        bytes.extend([2, 3]);
        bytes.extend(b"a=b");
        bytes.extend([0, 2, 1, b'x']); // the end, and noise behind it
        let Body::Announce { url_data, .. } = Request::from_bytes(&bytes).unwrap().body else {
            panic!("no announce");
        };
        assert_eq!(url_data, "/dir?a=b");
        let url_of = |options: &[u8]| {
            let bytes = [&announce_bytes(), options].concat();
            match Request::from_bytes(&bytes).unwrap().body {
                Body::Announce { url_data, .. } => url_data,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(url_of(&[2, 1, b'/', 2, 200, b'a']), "/", "cut off");
        assert_eq!(url_of(&[2, 1, 0xff]), "", "no text");
        let long = [2, 255].into_iter().chain([b'a'; 255]);
        let mut long: Vec<u8> = long.collect::<Vec<u8>>().repeat(9);
        long.extend([2, 1, b'b']);
        assert_eq!(
            url_of(&long),
            "a".repeat(8 * 255),
            "nothing behind the hole"
        );
    }

    #[test]
    fn a_scrape_lists_its_hashes() {
        let mut bytes = vec![0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 1];
        bytes.extend([1; 20]);
        bytes.extend([2; 20]);
        let scrape = Request::from_bytes(&bytes).unwrap();
        let hashes = vec![InfoHash([1; 20]), InfoHash([2; 20])];
        assert_eq!(
            scrape.body,
            Body::Scrape {
                connection: 9,
                hashes
            }
        );
        assert_eq!(scrape.to_bytes(), bytes);
    }

    #[test]
    fn what_is_too_short_is_refused() {
        let bytes = announce_bytes();
        for len in 0..bytes.len() {
            assert_eq!(Request::from_bytes(&bytes[..len]), Err(BadPacket), "{len}");
        }
    }
}
