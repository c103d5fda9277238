//! Agave's framing of the admin socket: JSON texts one after another without a separator, each reply followed by a
//! newline (jsonrpc-ipc-server 18 with `Separator::Empty`, as agave-validator uses it).

use {
    super::secret::Buffer,
    serde_json::{Deserializer, value::RawValue},
    zeroize::Zeroizing,
};

/// Largest request or reply. A keypair as bytes is under 1 kB, the status a few; with every connection in use, and each in the
/// middle of its largest request, the node holds a few MB for them.
pub const MESSAGE_BYTES_MAX: usize = 1 << 17;

#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// One whole JSON text.
    Message(Zeroizing<String>),
    /// More bytes are needed.
    Partial,
    /// Not JSON, or too long: the connection cannot be understood any further.
    Broken,
}

/// Takes the first whole JSON text off the front of `buffer`.
pub fn take_frame(buffer: &mut Buffer) -> Frame {
    let mut stream = Deserializer::from_slice(buffer.bytes()).into_iter::<&RawValue>();
    match stream.next() {
        None => {
            buffer.take_off(buffer.bytes().len());
            Frame::Partial
        }
        Some(Ok(message)) => {
            let used = stream.byte_offset();
            let text = Zeroizing::new(message.get().to_owned());
            buffer.take_off(used);
            Frame::Message(text)
        }
        Some(Err(error)) if error.is_eof() && buffer.bytes().len() < MESSAGE_BYTES_MAX => Frame::Partial,
        Some(Err(_)) => Frame::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(bytes: &[u8]) -> Buffer {
        let mut buffer = Buffer::default();
        buffer.extend(bytes);
        buffer
    }

    #[test]
    fn requests_without_a_separator_are_told_apart() {
        let mut buffer = buffer(br#"{"id":1}{"id":"}{"}  {"id":"#);
        assert_eq!(take_frame(&mut buffer), Frame::Message(r#"{"id":1}"#.to_owned().into()));
        assert_eq!(take_frame(&mut buffer), Frame::Message(r#"{"id":"}{"}"#.to_owned().into()));
        assert_eq!(take_frame(&mut buffer), Frame::Partial);
        buffer.extend(b"3}");
        assert_eq!(take_frame(&mut buffer), Frame::Message(r#"{"id":3}"#.to_owned().into()));
        assert_eq!(take_frame(&mut buffer), Frame::Partial);
    }

    #[test]
    fn what_is_not_json_ends_the_connection() {
        assert_eq!(take_frame(&mut buffer(b"GET / HTTP/1.1\r\n")), Frame::Broken);
        let mut endless = buffer(&b"[".repeat(100));
        assert_eq!(take_frame(&mut endless), Frame::Partial);
        let mut too_long = vec![b' '; 0];
        too_long.push(b'"');
        too_long.resize(MESSAGE_BYTES_MAX + 1, b'a');
        let mut too_long = buffer(&too_long);
        assert_eq!(take_frame(&mut too_long), Frame::Broken);
    }
}
