//! What a client sends.

use std::net::IpAddr;

use super::query;
use crate::{InfoHash, PeerId};

/// Why a client announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Event {
    /// At the interval.
    #[default]
    None,
    /// The first of a session.
    Started,
    /// Went from leech to seed.
    Completed,
    /// Leaves.
    Stopped,
    /// BEP 21.
    Paused,
}

impl Event {
    /// The value of `event=`; `None` when the key is left out.
    fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Started => Some("started"),
            Self::Completed => Some("completed"),
            Self::Stopped => Some("stopped"),
            Self::Paused => Some("paused"),
        }
    }

    fn from_name(name: &[u8]) -> Self {
        [Self::Started, Self::Completed, Self::Stopped, Self::Paused]
            .into_iter()
            .find(|event| event.name().map(str::as_bytes) == Some(name))
            .unwrap_or_default()
    }
}

/// An announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which torrent.
    pub info_hash: InfoHash,
    /// Who.
    pub peer_id: PeerId,
    /// Where the client listens; 0 is a peer that cannot be reached.
    pub port: u16,
    /// Bytes, as the client says.
    pub uploaded: u64,
    /// Bytes, as the client says.
    pub downloaded: u64,
    /// Bytes missing; 0 is a seed. Absent on the wire is taken as 1.
    pub left: u64,
    /// Why.
    pub event: Event,
    /// How many peers are wanted; absent or negative is `None`.
    pub numwant: Option<u32>,
    /// `key`: tells this client across address changes.
    pub key: Option<String>,
    /// `compact=1` (BEP 23). Absent is compact too.
    pub compact: bool,
    /// `no_peer_id=1`.
    pub no_peer_id: bool,
    /// `ip=`, if it is an address.
    pub ip: Option<IpAddr>,
    /// `trackerid` as echoed by the client.
    pub tracker_id: Option<String>,
}

/// Why a query string is no announce.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Missing or unreadable.
    #[error("`{0}` is missing or malformed")]
    Field(&'static str),
}

impl Request {
    /// The query string, without `?`. Every byte outside of the unreserved set is percent-encoded.
    #[must_use]
    pub fn to_query(&self) -> String {
        let mut out = String::with_capacity(256);
        let mut push = |key, value: &[u8]| query::push(&mut out, key, value);
        push("info_hash", &self.info_hash.0);
        push("peer_id", &self.peer_id.0);
        push("port", self.port.to_string().as_bytes());
        push("uploaded", self.uploaded.to_string().as_bytes());
        push("downloaded", self.downloaded.to_string().as_bytes());
        push("left", self.left.to_string().as_bytes());
        push("compact", if self.compact { b"1" } else { b"0" });
        if self.no_peer_id {
            push("no_peer_id", b"1");
        }
        if let Some(event) = self.event.name() {
            push("event", event.as_bytes());
        }
        if let Some(numwant) = self.numwant {
            push("numwant", numwant.to_string().as_bytes());
        }
        if let Some(key) = &self.key {
            push("key", key.as_bytes());
        }
        if let Some(ip) = self.ip {
            push("ip", ip.to_string().as_bytes());
        }
        if let Some(id) = &self.tracker_id {
            push("trackerid", id.as_bytes());
        }
        out
    }

    /// Reads a query string in any style of percent-encoding; the last of repeated keys wins; unknown keys are ignored.
    /// `info_hash`, `peer_id` and `port` must be there; any other key that cannot be read counts as absent.
    pub fn from_query(query: &str) -> Result<Self, RequestError> {
        let (mut info_hash, mut peer_id, mut port) = (None, None, None);
        let mut request = Self {
            info_hash: InfoHash([0; 20]),
            peer_id: PeerId([0; 20]),
            port: 0,
            uploaded: 0,
            downloaded: 0,
            left: 1,
            event: Event::None,
            numwant: None,
            key: None,
            compact: true,
            no_peer_id: false,
            ip: None,
            tracker_id: None,
        };
        for (key, value) in query::pairs(query) {
            match &*key {
                b"info_hash" => info_hash = value[..].try_into().ok(),
                b"peer_id" => peer_id = value[..].try_into().ok(),
                b"port" => port = number(&value),
                b"uploaded" => request.uploaded = number(&value).unwrap_or(0),
                b"downloaded" => request.downloaded = number(&value).unwrap_or(0),
                b"left" => request.left = number(&value).unwrap_or(1),
                b"event" => request.event = Event::from_name(&value),
                b"numwant" => request.numwant = numwant(&value),
                b"key" => request.key = text(&value),
                b"compact" => request.compact = &*value != b"0",
                b"no_peer_id" => request.no_peer_id = &*value == b"1",
                b"ip" => request.ip = number(&value).map(|ip: IpAddr| ip.to_canonical()),
                b"trackerid" => request.tracker_id = text(&value),
                _ => {}
            }
        }
        request.info_hash = InfoHash(info_hash.ok_or(RequestError::Field("info_hash"))?);
        request.peer_id = PeerId(peer_id.ok_or(RequestError::Field("peer_id"))?);
        request.port = port.ok_or(RequestError::Field("port"))?;
        Ok(request)
    }
}

/// Reads a number, or an address.
fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn numwant(value: &[u8]) -> Option<u32> {
    let wanted: i64 = number(value)?;
    (wanted >= 0).then(|| u32::try_from(wanted).unwrap_or(u32::MAX))
}

fn text(value: &[u8]) -> Option<String> {
    (!value.is_empty()).then(|| String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "info_hash=%124Vx%9a%bc%de%f1%23Eg%89%ab%cd%ef%124Vx%9a";
    const REST: &str = "&peer_id=-P20001-0123456789ab&port=6881";

    fn read(more: &str) -> Request {
        Request::from_query(&format!("{HASH}{REST}{more}")).unwrap()
    }

    #[test]
    fn every_style_of_percent_encoding_is_the_same_hash() {
        let hash: InfoHash = "123456789abcdef123456789abcdef123456789a".parse().unwrap();
        for style in [
            "%12%34%56%78%9a%bc%de%f1%23%45%67%89%ab%cd%ef%12%34%56%78%9a",
            "%12%34%56%78%9A%BC%DE%F1%23%45%67%89%AB%CD%EF%12%34%56%78%9A",
            "%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A",
            "%124Vx%9a%Bc%dE%f1%23%45g%89%ab%cd%ef%12%34Vx%9a",
        ] {
            let request = Request::from_query(&format!("info_hash={style}{REST}")).unwrap();
            assert_eq!(request.info_hash, hash, "{style}");
        }
    }

    #[test]
    fn a_plus_in_a_hash_is_a_plus() {
        let query = format!("info_hash=++++++++++++++++++%20%2B{REST}");
        let request = Request::from_query(&query).unwrap();
        assert_eq!(&request.info_hash.0, b"++++++++++++++++++ +");
    }

    #[test]
    fn what_is_absent_has_its_default() {
        let request = read("");
        assert_eq!(
            (request.left, request.uploaded, request.downloaded),
            (1, 0, 0)
        );
        assert!(request.compact && !request.no_peer_id);
        assert_eq!(request.event, Event::None);
        assert_eq!((request.numwant, request.ip), (None, None));
        assert_eq!((request.key, request.tracker_id), (None, None));
    }

    #[test]
    fn what_cannot_be_read_counts_as_absent() {
        let request = read("&left=-1&uploaded=x&numwant=&event=empty&ip=example.org&key=&left");
        assert_eq!(request, read(""));
        assert_eq!(read("&numwant=-1").numwant, None);
        assert_eq!(read("&numwant=0").numwant, Some(0));
        assert_eq!(read("&numwant=99999999999").numwant, Some(u32::MAX));
        assert!(read("&compact=1").compact && !read("&compact=0").compact);
    }

    #[test]
    fn the_last_of_repeated_keys_wins() {
        assert_eq!(read("&left=5&event=started&left=0").left, 0);
    }

    #[test]
    fn events_have_the_names_of_the_beps() {
        for (name, event) in [
            ("started", Event::Started),
            ("completed", Event::Completed),
            ("stopped", Event::Stopped),
            ("paused", Event::Paused),
            ("", Event::None),
            ("Started", Event::None),
        ] {
            assert_eq!(read(&format!("&event={name}")).event, event, "{name}");
        }
    }

    #[test]
    fn addresses_are_read_in_their_plain_form() {
        let ip = |text: &str| read(&format!("&ip={text}")).ip;
        assert_eq!(ip("::ffff:192.0.2.1"), "192.0.2.1".parse().ok());
        assert_eq!(ip("2001%3adb8%3A%3a1"), "2001:db8::1".parse().ok());
    }

    #[test]
    fn names_the_key_without_which_it_is_no_announce() {
        let field = |query: &str| Request::from_query(query).unwrap_err();
        assert_eq!(field(""), RequestError::Field("info_hash"));
        assert_eq!(field(HASH), RequestError::Field("peer_id"));
        assert_eq!(
            field(&format!("{HASH}&peer_id=-P20001-0123456789ab")),
            RequestError::Field("port")
        );
        assert_eq!(
            field(&format!("{HASH}{REST}&port=65536")),
            RequestError::Field("port")
        );
        assert_eq!(
            field(&format!("info_hash=%12{REST}")),
            RequestError::Field("info_hash")
        );
    }

    #[test]
    fn writes_what_it_reads() {
        let request = Request {
            uploaded: u64::MAX,
            downloaded: 7,
            left: 0,
            event: Event::Completed,
            numwant: Some(0),
            key: Some("a&b=c +%\u{e9}".into()),
            compact: false,
            no_peer_id: true,
            ip: "2001:db8::1".parse().ok(),
            tracker_id: Some("x".into()),
            ..read("")
        };
        assert_eq!(Request::from_query(&request.to_query()), Ok(request));
        assert_eq!(
            read("").to_query(),
            "info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A\
             &peer_id=-P20001-0123456789ab&port=6881&uploaded=0&downloaded=0&left=1&compact=1"
        );
    }
}
