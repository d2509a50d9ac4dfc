//! Reading reports and replies. Every count is checked against the bytes that are left before anything is allocated for it.

use super::encode::{VERSION, op, status};
use super::{
    ItemRef, MAX_ITEMS, MAX_RAREST, Op, PointsError, Reply, ReplyItem, Report, ReportItem, Status,
    Swarm,
};
use crate::{Bitfield, InfoHash};

/// Most pieces of a torrent, see [`crate::Layout`].
const MAX_PIECES: u32 = i32::MAX as u32;

const ENDS_EARLY: PointsError = PointsError("ends early");

impl Report {
    /// Reads a body. Sets are checked for order and range where the number of pieces is in the report; otherwise the tracker checks.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PointsError> {
        let mut reader = Reader { rest: bytes };
        reader.version()?;
        let epoch = u64::from_be_bytes(reader.array()?);
        let port = u16::from_be_bytes(reader.array()?);
        let items = reader.items(Reader::report_item)?;
        reader.end()?;
        Ok(Self { epoch, port, items })
    }
}

impl Reply {
    /// Reads a body.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PointsError> {
        let mut reader = Reader { rest: bytes };
        reader.version()?;
        let epoch = u64::from_be_bytes(reader.array()?);
        let next = reader.varint()?;
        let items = reader.items(Reader::reply_item)?;
        reader.end()?;
        Ok(Self { epoch, next, items })
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn version(&mut self) -> Result<(), PointsError> {
        match self.byte()? {
            VERSION => Ok(()),
            _ => Err(PointsError("is of an unknown version")),
        }
    }

    fn end(&self) -> Result<(), PointsError> {
        match self.rest {
            [] => Ok(()),
            _ => Err(PointsError("has bytes after its end")),
        }
    }

    fn items<T>(
        &mut self,
        item: impl Fn(&mut Self) -> Result<T, PointsError>,
    ) -> Result<Vec<T>, PointsError> {
        let count = self.count()?;
        if count > MAX_ITEMS {
            return Err(PointsError("has too many items"));
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn report_item(&mut self) -> Result<ReportItem, PointsError> {
        let (item, pieces) = match self.varint()? {
            0 => {
                let hash = InfoHash(self.array()?);
                let pieces = self.varint()?;
                if pieces == 0 || pieces > MAX_PIECES {
                    return Err(PointsError("has an impossible number of pieces"));
                }
                (ItemRef::Hash(hash, pieces), Some(pieces))
            }
            handle => (ItemRef::Handle(handle), None),
        };
        let most = pieces.unwrap_or(MAX_PIECES);
        let op = match self.byte()? {
            op::KEEP => Op::Keep,
            op::FULL => Op::Full(self.bitmap(pieces)?),
            op::ADD => Op::Add(self.gaps(most)?),
            op::REMOVE => Op::Remove(self.gaps(most)?),
            op::SEED => Op::Seed,
            op::LEAVE => Op::Leave,
            _ => return Err(PointsError("has an unknown operation")),
        };
        let held = self.varint()?;
        if held > most {
            return Err(PointsError("holds more pieces than there are"));
        }
        Ok(ReportItem {
            item,
            op,
            held,
            checksum: u32::from_be_bytes(self.array()?),
        })
    }

    fn reply_item(&mut self) -> Result<ReplyItem, PointsError> {
        let handle = self.varint()?;
        let status = match self.byte()? {
            status::OK => Status::Ok(self.swarm()?),
            status::RESYNC => Status::Resync,
            status::UNKNOWN => Status::Unknown,
            _ => return Err(PointsError("has an unknown status")),
        };
        Ok(ReplyItem { handle, status })
    }

    fn swarm(&mut self) -> Result<Swarm, PointsError> {
        let swarm = Swarm {
            seeds: self.varint()?,
            partial: self.varint()?,
            unknown: self.varint()?,
            least: self.varint()?,
            nobody: self.varint()?,
            rarest: self.gaps(MAX_PIECES)?,
        };
        if swarm.rarest.len() > MAX_RAREST {
            return Err(PointsError("has too many rarest pieces"));
        }
        Ok(swarm)
    }

    fn bitmap(&mut self, pieces: Option<u32>) -> Result<Vec<u8>, PointsError> {
        let len = self.count()?;
        let (bitmap, rest) = self.rest.split_at_checked(len).ok_or(ENDS_EARLY)?;
        if pieces.is_some_and(|pieces| Bitfield::from_bytes(bitmap, pieces).is_none()) {
            return Err(PointsError("has a bitmap of the wrong length"));
        }
        self.rest = rest;
        Ok(bitmap.to_vec())
    }

    /// Pieces below `pieces`, ascending.
    fn gaps(&mut self, pieces: u32) -> Result<Vec<u32>, PointsError> {
        let count = self.count()?;
        let mut out = Vec::with_capacity(count);
        let mut next = 0u32;
        for _ in 0..count {
            let piece = next.checked_add(self.varint()?).filter(|p| *p < pieces);
            let piece = piece.ok_or(PointsError("names a piece that does not exist"))?;
            out.push(piece);
            next = piece + 1;
        }
        Ok(out)
    }

    /// How many things follow, each of which takes a byte or more.
    fn count(&mut self) -> Result<usize, PointsError> {
        let count = self.varint()? as usize;
        if count > self.rest.len() {
            return Err(ENDS_EARLY);
        }
        Ok(count)
    }

    /// A number in its shortest form.
    fn varint(&mut self) -> Result<u32, PointsError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                if byte == 0 && shift > 0 {
                    return Err(PointsError("has a number with leading zeros"));
                }
                return Ok(value);
            }
        }
        Err(PointsError("has a number beyond 32 bits"))
    }

    fn byte(&mut self) -> Result<u8, PointsError> {
        let (byte, rest) = self.rest.split_first().ok_or(ENDS_EARLY)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PointsError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(ENDS_EARLY)?;
        self.rest = rest;
        Ok(*array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(items: Vec<ReportItem>) -> Report {
        Report {
            epoch: 0x0102_0304_0506_0708,
            port: 6881,
            items,
        }
    }

    fn item(item: ItemRef, op: Op) -> ReportItem {
        ReportItem {
            item,
            op,
            held: 3,
            checksum: 0xdead_beef,
        }
    }

    #[test]
    fn a_report_is_the_bytes_of_the_module_doc() {
        let hash = InfoHash([0xaa; 20]);
        let all = report(vec![
            item(ItemRef::Hash(hash, 300), Op::Add(vec![0, 1, 299])),
            item(ItemRef::Handle(128), Op::Full(vec![0xe0])),
            item(ItemRef::Handle(1), Op::Keep),
        ]);
        let bytes = all.to_bytes();
        let expected = [
            &b"\x01\x01\x02\x03\x04\x05\x06\x07\x08\x1a\xe1\x03"[..],
            b"\x00",
            &[0xaa; 20],
            b"\xac\x02\x02\x03\x00\x00\xa9\x02\x03\xde\xad\xbe\xef",
            b"\x80\x01\x01\x01\xe0\x03\xde\xad\xbe\xef",
            b"\x01\x00\x03\xde\xad\xbe\xef",
        ];
        assert_eq!(bytes, expected.concat());
        assert_eq!(Report::from_bytes(&bytes), Ok(all));
    }

    #[test]
    fn a_reply_is_the_bytes_of_the_module_doc() {
        let swarm = Swarm {
            seeds: 9,
            partial: 200,
            unknown: 1,
            least: 0,
            nobody: 2,
            rarest: vec![5, 7],
        };
        let of = |handle, status| ReplyItem { handle, status };
        let reply = Reply {
            epoch: 1,
            next: 60,
            items: vec![
                of(1, Status::Ok(swarm)),
                of(2, Status::Resync),
                of(0, Status::Unknown),
            ],
        };
        let bytes = reply.to_bytes();
        assert_eq!(
            bytes,
            b"\x01\0\0\0\0\0\0\0\x01\x3c\x03\x01\0\x09\xc8\x01\x01\0\x02\x02\x05\x01\x02\x01\0\x02"
        );
        assert_eq!(Reply::from_bytes(&bytes), Ok(reply));
    }

    #[test]
    fn pieces_out_of_order_are_sorted_before_they_are_written() {
        let of = |pieces| report(vec![item(ItemRef::Handle(1), Op::Remove(pieces))]).to_bytes();
        assert_eq!(of(vec![9, 2, 9, 4]), of(vec![2, 4, 9]));
    }

    #[test]
    fn refuses_pieces_that_the_item_does_not_have() {
        let of = |op| {
            let item = item(ItemRef::Hash(InfoHash([1; 20]), 10), op);
            Report::from_bytes(&report(vec![item]).to_bytes())
        };
        assert!(of(Op::Add(vec![9])).is_ok());
        assert!(of(Op::Add(vec![10])).is_err());
        assert!(of(Op::Remove(vec![1, u32::MAX])).is_err());
        assert!(of(Op::Full(vec![0xff, 0xc0])).is_ok());
        assert!(of(Op::Full(vec![0xff, 0xe0])).is_err());
        assert!(of(Op::Full(vec![0xff])).is_err());
    }

    #[test]
    fn refuses_counts_beyond_what_is_there() {
        let head = b"\x01\0\0\0\0\0\0\0\0\0\0";
        let read = |rest: &[u8]| Report::from_bytes(&[head, rest].concat());
        assert!(read(b"\0").is_ok());
        assert_eq!(read(b"\xff\xff\xff\xff\x0f"), Err(ENDS_EARLY));
        assert_eq!(read(b"\x01\x01\x02\xff\xff\xff\x7f"), Err(ENDS_EARLY));
        assert_eq!(read(b"\x01\x01\x01\xff\xff\xff\x7f"), Err(ENDS_EARLY));
        assert!(read(b"\x80\x00").is_err());
        assert!(read(b"\xff\xff\xff\xff\x1f").is_err());
        assert!(read(b"\xff\xff\xff\xff\xff\x01").is_err());
        assert!(read(b"\0\0").is_err());
        assert!(Report::from_bytes(b"\x02\0\0\0\0\0\0\0\0\0\0\0").is_err());
        let many = vec![item(ItemRef::Handle(1), Op::Keep); MAX_ITEMS + 1];
        assert!(Report::from_bytes(&report(many).to_bytes()).is_err());
    }
}
