//! The snapshot a test's service makes: all commands applied so far, in a form that shows any damage.

/// Starts each snapshot, so that bytes which are none are told apart from an empty one.
const MAGIC: &[u8; 8] = b"snapshot";

/// The state of a service that remembers every command: after applying index `n`, the commands 1 to `n`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceSnapshot {
    /// The command at index `i` is `commands[i - 1]`.
    pub commands: Vec<Vec<u8>>,
}

impl ServiceSnapshot {
    /// The last index the snapshot covers.
    pub fn index(&self) -> u64 {
        self.commands.len() as u64
    }

    /// The bytes to hand to `snapshot`.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.index().to_le_bytes());
        for command in &self.commands {
            bytes.extend((command.len() as u64).to_le_bytes());
            bytes.extend(command);
        }
        bytes
    }

    /// Reads what [`encode`](ServiceSnapshot::encode) wrote. The error says in what the bytes differ from a
    /// snapshot.
    pub fn decode(bytes: &[u8]) -> Result<ServiceSnapshot, String> {
        if bytes.is_empty() {
            return Err("it is empty".to_string());
        }
        let mut rest = bytes.strip_prefix(MAGIC).ok_or("it is not a snapshot that the service made")?;
        let index = read_u64(&mut rest)?;
        let mut commands = Vec::new();
        for _ in 0..index {
            let len = usize::try_from(read_u64(&mut rest)?).map_err(|_| "it is damaged")?;
            let (command, tail) = rest.split_at_checked(len).ok_or("it is cut short")?;
            commands.push(command.to_vec());
            rest = tail;
        }
        if !rest.is_empty() {
            return Err(format!("it goes on for {} bytes after its end", rest.len()));
        }
        Ok(ServiceSnapshot { commands })
    }
}

fn read_u64(bytes: &mut &[u8]) -> Result<u64, String> {
    let (number, rest) = bytes.split_first_chunk().ok_or("it is cut short")?;
    *bytes = rest;
    Ok(u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ServiceSnapshot {
        ServiceSnapshot { commands: vec![b"100".to_vec(), b"".to_vec(), b"300".to_vec()] }
    }

    #[test]
    fn a_snapshot_survives_encoding() {
        for snapshot in [sample(), ServiceSnapshot::default()] {
            assert_eq!(ServiceSnapshot::decode(&snapshot.encode()), Ok(snapshot));
        }
        assert_eq!(sample().index(), 3);
    }

    #[test]
    fn what_is_no_snapshot_is_refused() {
        let bytes = sample().encode();
        for len in 0..bytes.len() {
            assert!(ServiceSnapshot::decode(&bytes[..len]).is_err(), "{len} bytes of {}", bytes.len());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(ServiceSnapshot::decode(&longer), Err("it goes on for 1 bytes after its end".to_string()));
        let mut absurd = bytes;
        absurd[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(ServiceSnapshot::decode(&absurd), Err("it is cut short".to_string()));
        assert_eq!(ServiceSnapshot::decode(b""), Err("it is empty".to_string()));
    }
}
