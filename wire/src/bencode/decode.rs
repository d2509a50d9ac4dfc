//! The decoder.

use super::{Error, Kind, Limits, Value};

/// Hard bound on nesting: the decoder, and dropping what it made, recurse.
const MAX_DEPTH: u32 = 256;

/// Decodes the whole of `input` with the default limits (depth 64, a million values).
pub fn decode(input: &[u8]) -> Result<Value<'_>, Error> {
    decode_with(input, Limits::default())
}

/// Decodes the whole of `input`; bytes after the value are an error.
pub fn decode_with(input: &[u8], limits: Limits) -> Result<Value<'_>, Error> {
    let (value, used) = decode_prefix(input, limits)?;
    if used != input.len() {
        return Err(Error {
            what: "bytes after the value",
            at: used,
        });
    }
    Ok(value)
}

/// Decodes one value at the start of `input` and says how many bytes it took.
pub fn decode_prefix(input: &[u8], limits: Limits) -> Result<(Value<'_>, usize), Error> {
    let mut decoder = Decoder {
        input,
        at: 0,
        values: limits.values,
    };
    let value = decoder.value(limits.depth.min(MAX_DEPTH))?;
    Ok((value, decoder.at))
}

struct Decoder<'a> {
    input: &'a [u8],
    at: usize,
    /// How many more values may come.
    values: u32,
}

impl<'a> Decoder<'a> {
    /// Decodes the value at the cursor; `depth` is how many containers may still be opened.
    fn value(&mut self, depth: u32) -> Result<Value<'a>, Error> {
        let start = self.at;
        self.values = match self.values.checked_sub(1) {
            Some(left) => left,
            None => return self.fail("too many values"),
        };
        let kind = match self.peek() {
            Some(b'i') => self.int()?,
            Some(b'l') => self.list(depth)?,
            Some(b'd') => self.dict(depth)?,
            Some(b'0'..=b'9') => Kind::Bytes(self.bytes()?),
            Some(_) => return self.fail("not the start of a value"),
            None => return self.fail("the end where a value should be"),
        };
        Ok(Value {
            raw: &self.input[start..self.at],
            kind,
        })
    }

    fn int(&mut self) -> Result<Kind<'a>, Error> {
        self.at += 1;
        let negative = self.peek() == Some(b'-');
        if negative {
            self.at += 1;
        }
        // Collected as a negative number: the negative range is the larger one.
        let mut value = 0i64;
        let start = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            if self.at > start && value == 0 {
                return self.fail("an integer with a leading zero");
            }
            let next = value
                .checked_mul(10)
                .and_then(|v| v.checked_sub(i64::from(digit - b'0')));
            value = match next {
                Some(next) => next,
                None => return self.fail("an integer beyond 64 bits"),
            };
            self.at += 1;
        }
        if self.at == start {
            return self.fail("an integer without digits");
        }
        if negative && value == 0 {
            return self.fail("minus zero");
        }
        self.expect(b'e', "an integer without its end")?;
        if negative {
            return Ok(Kind::Int(value));
        }
        match value.checked_neg() {
            Some(value) => Ok(Kind::Int(value)),
            None => self.fail("an integer beyond 64 bits"),
        }
    }

    fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let start = self.at;
        let mut len = 0usize;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            if self.at > start && len == 0 {
                return self.fail("a string length with a leading zero");
            }
            let next = len
                .checked_mul(10)
                .and_then(|len| len.checked_add(usize::from(digit - b'0')));
            len = match next {
                Some(len) if len <= self.input.len() => len,
                _ => return self.fail("a string longer than the input"),
            };
            self.at += 1;
        }
        if self.at == start {
            return self.fail("not the start of a string");
        }
        self.expect(b':', "a string length without a colon")?;
        match self.input[self.at..].get(..len) {
            Some(bytes) => {
                self.at += len;
                Ok(bytes)
            }
            None => self.fail("a string longer than the input"),
        }
    }

    fn list(&mut self, depth: u32) -> Result<Kind<'a>, Error> {
        let inner = self.open(depth)?;
        let mut values = Vec::new();
        while self.peek() != Some(b'e') {
            values.push(self.value(inner)?);
        }
        self.at += 1;
        Ok(Kind::List(values))
    }

    fn dict(&mut self, depth: u32) -> Result<Kind<'a>, Error> {
        let start = self.at;
        let inner = self.open(depth)?;
        let mut entries: Vec<(&[u8], Value<'a>)> = Vec::new();
        let mut ascending = true;
        while self.peek() != Some(b'e') {
            let key = self.bytes()?;
            ascending &= entries.last().is_none_or(|(last, _)| *last < key);
            entries.push((key, self.value(inner)?));
        }
        self.at += 1;
        if !ascending && has_repeated_key(&entries) {
            return Err(Error {
                what: "a dictionary with a repeated key",
                at: start,
            });
        }
        Ok(Kind::Dict(entries))
    }

    /// Steps into a list or dictionary and returns the depth left inside.
    fn open(&mut self, depth: u32) -> Result<u32, Error> {
        let inner = match depth.checked_sub(1) {
            Some(inner) => inner,
            None => return self.fail("nested too deeply"),
        };
        self.at += 1;
        Ok(inner)
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Error> {
        if self.peek() != Some(byte) {
            return self.fail(what);
        }
        self.at += 1;
        Ok(())
    }

    fn fail<T>(&self, what: &'static str) -> Result<T, Error> {
        Err(Error { what, at: self.at })
    }
}

fn has_repeated_key(entries: &[(&[u8], Value<'_>)]) -> bool {
    let mut keys: Vec<&[u8]> = entries.iter().map(|(key, _)| *key).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(text: &str) -> Option<i64> {
        decode(text.as_bytes()).ok()?.as_int()
    }

    #[test]
    fn integers_have_one_spelling() {
        assert_eq!(int("i0e"), Some(0));
        assert_eq!(int("i-42e"), Some(-42));
        assert_eq!(int("i9223372036854775807e"), Some(i64::MAX));
        assert_eq!(int("i-9223372036854775808e"), Some(i64::MIN));
        for bad in [
            "ie",
            "i-e",
            "i-0e",
            "i00e",
            "i01e",
            "i-01e",
            "i+1e",
            "i1",
            "i 1e",
            "i1.0e",
            "i9223372036854775808e",
            "i-9223372036854775809e",
        ] {
            assert_eq!(int(bad), None, "{bad}");
        }
    }

    #[test]
    fn strings_have_one_spelling_and_stay_inside_the_input() {
        assert_eq!(decode(b"0:").unwrap().as_bytes(), Some(&b""[..]));
        assert_eq!(decode(b"4:spam").unwrap().as_str(), Some("spam"));
        for bad in [
            "01:a",
            "00:",
            "2:a",
            "1a",
            ":",
            "-1:a",
            "99999999999999999999999999:a",
            "18446744073709551615:a",
        ] {
            assert!(decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn containers_keep_order_and_raw_bytes() {
        let value = decode(b"d4:spaml1:a1:be3:cowi7ee").unwrap();
        assert_eq!(value.get(b"spam").unwrap().raw(), b"l1:a1:be");
        assert_eq!(value.get(b"cow").unwrap().as_int(), Some(7));
        let keys: Vec<_> = value.as_dict().unwrap().iter().map(|(k, _)| *k).collect();
        assert_eq!(keys, [&b"spam"[..], b"cow"]);
        assert!(decode(b"le").unwrap().as_list().unwrap().is_empty());
        for bad in ["l", "li1e", "d", "d1:ae", "di1ei2ee", "d1:a", "e", ""] {
            assert!(decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_repeated_key_is_refused_wherever_it_stands() {
        assert!(decode(b"d1:ai1e1:ai2ee").is_err());
        assert!(decode(b"d1:bi1e1:ai2e1:bi3ee").is_err());
        assert!(decode(b"d1:bi1e1:ai2ee").is_ok());
    }

    #[test]
    fn trailing_bytes_are_refused_by_decode_and_counted_by_decode_prefix() {
        let error = decode(b"i1ei2e").unwrap_err();
        assert_eq!((error.what, error.at), ("bytes after the value", 3));
        let (value, used) = decode_prefix(b"de rest", Limits::default()).unwrap();
        assert_eq!((value.raw(), used), (&b"de"[..], 2));
    }

    #[test]
    fn depth_and_number_of_values_are_bounded() {
        let nested = |n: usize| [vec![b'l'; n], vec![b'e'; n]].concat();
        assert!(decode(&nested(64)).is_ok());
        assert!(decode(&nested(65)).is_err());
        let deep = Limits {
            depth: u32::MAX,
            values: u32::MAX,
        };
        assert!(decode_with(&vec![b'l'; 10_000_000], deep).is_err());
        let three = Limits {
            depth: 1,
            values: 3,
        };
        assert!(decode_with(b"li1ei2ee", three).is_ok());
        assert!(decode_with(b"li1ei2ei3ee", three).is_err());
    }
}
