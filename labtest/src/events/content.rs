//! What a message says, in the terms of figures 2 and 13, whatever else the code under test has added.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A candidate asks for a vote.
    RequestVote(RequestVote),
    /// The answer to it.
    RequestVoteReply(RequestVoteReply),
    /// A leader sends entries, or asserts itself.
    AppendEntries(AppendEntries),
    /// The answer to it.
    AppendEntriesReply(AppendEntriesReply),
    /// A leader sends a snapshot.
    InstallSnapshot(InstallSnapshot),
    /// The answer to it.
    InstallSnapshotReply {
        /// The follower's term.
        term: u64,
        /// There is nothing in the reply but the term.
        plain: bool,
    },
    /// A message of which only its author knows what it means, or one that cannot be decoded.
    Other,
}

/// Arguments of RequestVote (figure 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestVote {
    /// Candidate's term.
    pub term: u64,
    /// Index of candidate's last log entry.
    pub last_log_index: u64,
    /// Term of candidate's last log entry.
    pub last_log_term: u64,
}

/// Results of RequestVote (figure 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestVoteReply {
    /// The voter's term.
    pub term: u64,
    /// Whether the candidate has the vote.
    pub granted: bool,
}

/// Arguments of AppendEntries (figure 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendEntries {
    /// Leader's term.
    pub term: u64,
    /// Index of the entry immediately preceding the new ones.
    pub prev_log_index: u64,
    /// Its term.
    pub prev_log_term: u64,
    /// The new entries.
    pub entries: Arc<[Entry]>,
    /// Leader's commit index.
    pub leader_commit: u64,
}

/// Results of AppendEntries (figure 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendEntriesReply {
    /// The follower's term.
    pub term: u64,
    /// Whether the follower's log matched, and now has the entries.
    pub success: bool,
}

/// Arguments of InstallSnapshot (figure 13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallSnapshot {
    /// Leader's term.
    pub term: u64,
    /// The last index the snapshot covers.
    pub last_included_index: u64,
    /// The term of the entry there.
    pub last_included_term: u64,
    /// How many bytes of the service's state it carries.
    pub data_bytes: usize,
}

/// One log entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The term in which a leader received it.
    pub term: u64,
    /// The command.
    pub command: Command,
}

/// A command: enough of it to tell it from others and to show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Command {
    digest: u64,
    len: u32,
    head: [u8; HEAD],
}

/// How many bytes of a command are kept as they are.
const HEAD: usize = 20;

/// All of what is kept of a command.
const KEPT: usize = 8 + 4 + HEAD;

impl Command {
    /// What is kept of these bytes.
    pub fn of(bytes: &[u8]) -> Command {
        let digest = if bytes.len() <= HEAD {
            // All of it is kept.
            0
        } else {
            // Always with the same keys: what is compared here must not depend on the run.
            let mut hasher = DefaultHasher::new();
            hasher.write(bytes);
            hasher.finish()
        };
        let mut head = [0; HEAD];
        let kept = bytes.len().min(HEAD);
        head[..kept].copy_from_slice(&bytes[..kept]);
        Command { digest, len: u32::try_from(bytes.len()).unwrap_or(u32::MAX), head }
    }

    /// All that is kept.
    pub(crate) fn to_bytes(self) -> [u8; KEPT] {
        let mut bytes = [0; KEPT];
        bytes[..8].copy_from_slice(&self.digest.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.len.to_le_bytes());
        bytes[12..].copy_from_slice(&self.head);
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; KEPT]) -> Command {
        let (mut digest, mut len, mut head) = ([0; 8], [0; 4], [0; HEAD]);
        digest.copy_from_slice(&bytes[..8]);
        len.copy_from_slice(&bytes[8..12]);
        head.copy_from_slice(&bytes[12..]);
        Command { digest: u64::from_le_bytes(digest), len: u32::from_le_bytes(len), head }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.len as usize;
        let head = self.head[..len.min(HEAD)].escape_ascii();
        if len > HEAD { write!(f, "`{head}...` ({len} bytes)") } else { write!(f, "`{head}`") }
    }
}

impl AppendEntries {
    /// The index of the last entry that the follower has if it agrees.
    pub fn last_index(&self) -> u64 {
        self.prev_log_index.saturating_add(self.entries.len() as u64)
    }

    /// The term of that entry.
    pub fn last_term(&self) -> u64 {
        self.entries.last().map_or(self.prev_log_term, |entry| entry.term)
    }

    /// The entries with their indexes.
    pub fn indexed(&self) -> impl Iterator<Item = (u64, &Entry)> {
        (self.prev_log_index.saturating_add(1)..).zip(self.entries.iter())
    }
}

impl Content {
    /// The paper's name of such a message; `None` for one that it does not know.
    pub(crate) fn name(&self) -> Option<&'static str> {
        Some(match self {
            Content::RequestVote(_) => "RequestVote",
            Content::RequestVoteReply(_) => "RequestVoteReply",
            Content::AppendEntries(_) => "AppendEntries",
            Content::AppendEntriesReply(_) => "AppendEntriesReply",
            Content::InstallSnapshot(_) => "InstallSnapshot",
            Content::InstallSnapshotReply { .. } => "InstallSnapshotReply",
            Content::Other => return None,
        })
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::RequestVote(m) => write!(
                f,
                "RequestVote term {}, last entry {} of term {}",
                m.term, m.last_log_index, m.last_log_term
            ),
            Content::RequestVoteReply(m) => {
                write!(f, "vote {} term {}", if m.granted { "granted," } else { "refused," }, m.term)
            }
            Content::AppendEntries(m) => {
                let entries = match m.entries.len() {
                    0 => "no entries".to_string(),
                    n => format!(
                        "{} to index {} of term {}",
                        if n == 1 { "1 entry".to_string() } else { format!("{n} entries") },
                        m.last_index(),
                        m.last_term()
                    ),
                };
                write!(
                    f,
                    "AppendEntries term {}, after entry {} of term {}: {entries}, leader_commit {}",
                    m.term, m.prev_log_index, m.prev_log_term, m.leader_commit
                )
            }
            Content::AppendEntriesReply(m) => {
                write!(f, "{} term {}", if m.success { "success," } else { "refused," }, m.term)
            }
            Content::InstallSnapshot(m) => write!(
                f,
                "InstallSnapshot term {}, up to entry {} of term {}",
                m.term, m.last_included_index, m.last_included_term
            ),
            Content::InstallSnapshotReply { term, .. } => write!(f, "snapshot answered, term {term}"),
            Content::Other => f.write_str("another message"),
        }
    }
}
