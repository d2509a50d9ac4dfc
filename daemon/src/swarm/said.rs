//! What a peer says while the metadata is not known: kept to be replayed.
use std::collections::BTreeSet;

use bytes::Bytes;
use p2p_wire::peer::Message;

use super::Violation;

/// `have` messages kept for one peer; one that has more sends a bitfield.
const MAX_HAVES: usize = 65_536;

/// All that one peer said that still counts. How many pieces there are is not known, so bitfields are judged when they are replayed.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// `Bitfield`, `HaveAll` or `HaveNone`.
    holdings: Option<Message>,
    haves: BTreeSet<u32>,
    /// The payload of its extension handshake.
    pub(super) handshake: Option<Bytes>,
    unchoked: bool,
    interested: bool,
}

impl Said {
    /// Keeps `message` if it will matter.
    pub(super) fn note(&mut self, message: Message) -> Result<(), Violation> {
        match message {
            Message::Bitfield(_) | Message::HaveAll | Message::HaveNone => {
                let before = self.holdings.take();
                self.holdings = Some(together(before, message));
            }
            Message::Have(piece) => {
                self.haves.insert(piece);
                if self.haves.len() > MAX_HAVES {
                    return Err(Violation("too many have messages without a bitfield"));
                }
            }
            Message::Choke => self.unchoked = false,
            Message::Unchoke => self.unchoked = true,
            Message::Interested => self.interested = true,
            Message::NotInterested => self.interested = false,
            _ => {}
        }
        Ok(())
    }

    /// What to replay, in an order in which a peer could have said it.
    pub(super) fn into_messages(self) -> Vec<Message> {
        let haves = self.haves.into_iter().map(Message::Have);
        let hello = self.handshake.map(|payload| Message::Extended(0, payload));
        let unchoke = self.unchoked.then_some(Message::Unchoke);
        let interested = self.interested.then_some(Message::Interested);
        let first = self.holdings.into_iter().chain(haves);
        first
            .chain(hello)
            .chain(unchoke)
            .chain(interested)
            .collect()
    }
}

/// A later bitfield adds to the earlier one: aria2 sends another in place of many have messages. Of two that cannot belong to the same
/// torrent the later counts.
fn together(before: Option<Message>, now: Message) -> Message {
    match (before, now) {
        (Some(Message::HaveAll), _) => Message::HaveAll,
        (Some(before), Message::HaveNone) => before,
        (Some(Message::Bitfield(before)), Message::Bitfield(now)) if before.len() == now.len() => {
            let both = before.iter().zip(now.iter());
            Message::Bitfield(both.map(|(before, now)| before | now).collect())
        }
        (_, now) => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(bytes: &[u8]) -> Message {
        Message::Bitfield(Bytes::copy_from_slice(bytes))
    }

    fn kept(said: &[Message]) -> Vec<Message> {
        let mut all = Said::default();
        for message in said {
            all.note(message.clone()).unwrap();
        }
        all.into_messages()
    }

    #[test]
    fn a_later_bitfield_adds_to_the_earlier_one() {
        assert_eq!(
            kept(&[bits(&[0x80, 1]), bits(&[0x40, 0])]),
            [bits(&[0xc0, 1])]
        );
        assert_eq!(kept(&[Message::HaveNone, bits(&[0x40])]), [bits(&[0x40])]);
        assert_eq!(kept(&[bits(&[0x40]), Message::HaveNone]), [bits(&[0x40])]);
        assert_eq!(kept(&[bits(&[0x40]), Message::HaveAll]), [Message::HaveAll]);
        assert_eq!(kept(&[Message::HaveAll, bits(&[0x40])]), [Message::HaveAll]);
        assert_eq!(kept(&[bits(&[1, 2]), bits(&[3])]), [bits(&[3])]);
    }

    #[test]
    fn what_is_said_comes_back_in_an_order_that_can_be_replayed() {
        let said = [
            Message::Unchoke,
            Message::Have(3),
            bits(&[0]),
            Message::Have(3),
        ];
        assert_eq!(
            kept(&said),
            [bits(&[0]), Message::Have(3), Message::Unchoke]
        );
    }

    #[test]
    fn have_messages_without_end_are_a_violation() {
        let mut said = Said::default();
        let all = (0..=MAX_HAVES as u32).map(|piece| said.note(Message::Have(piece)));
        assert_eq!(all.filter(Result::is_err).count(), 1);
    }
}
