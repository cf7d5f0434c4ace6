//! The table of how every server stood when the run failed.

use crate::events::picture::{Peer, Picture, Role};
use crate::events::seen_log::SeenLog;

/// What a server answered when it was asked for its state, after the failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// There is nobody to ask, or nobody was asked.
    NotAsked,
    Says(labnode::State),
    Silent,
    Panics,
}

/// Columns for the log: with them, a table is as wide as a screen.
const LOG_WIDTH: usize = 24;
/// Stands for what of a log is not shown.
const CUT: &str = ".. ";

/// The table: a line for each server. Who answered is believed; else it is as messages show it.
pub(crate) fn table(picture: &Picture, answers: &[Answer]) -> String {
    let applied = |text: &str| if picture.applies { format!("{text:>7}  ") } else { String::new() };
    let mut out =
        format!("server  state              term  vote  commit  {}log: index(term)\n", applied("applied"));
    let mut remarks = Vec::new();
    for (server, peer) in picture.servers.iter().enumerate() {
        let answer = answers.get(server).copied().unwrap_or(Answer::NotAsked);
        let Peer { is, log, .. } = peer;
        let (term, mut role) = match answer {
            Answer::Says(state) if state.is_leader => (state.term, Role::Leader),
            Answer::Says(state) if is.role == Role::Leader => (state.term, Role::Follower),
            Answer::Says(state) => (state.term, is.role),
            _ => (is.term, is.role),
        };
        if peer.life.is_none() {
            role = Role::Dead;
        }
        let is_linked = picture.groups.iter().any(|group| group.contains(&server));
        let state = match role {
            Role::Dead => "crashed".to_string(),
            role if peer.frozen => format!("{}, frozen", role.name()),
            role if !is_linked => format!("{}, cut off", role.name()),
            role => role.name().to_string(),
        };
        match answer {
            // Its state says so.
            Answer::Silent if peer.frozen => {}
            Answer::Silent => remarks.push(format!("state() of server {server} does not answer")),
            Answer::Panics => remarks.push(format!("state() of server {server} panics")),
            _ => {}
        }
        let vote = is.voted_for.filter(|_| term == is.term).map_or("-".to_string(), |it| it.to_string());
        let row = format!(
            "{server:<6}  {state:<17}  {term:>4}  {vote:>4}  {:>6}  {}{}",
            is.commit,
            applied(&is.applied.to_string()),
            tail(log)
        );
        out += row.trim_end();
        out.push('\n');
    }
    let groups: Vec<String> = picture.groups.iter().map(|group| crate::text::servers(group)).collect();
    if groups.len() > 1 {
        remarks.push(format!("who reaches whom: {}", groups.join(" | ")));
    }
    for remark in remarks {
        out += &format!("{remark}\n");
    }
    out
}

/// The end of a log: `..9 10-12(3) 13(4)`, entries 10 to 12 of term 3 and 13 of term 4 after what a snapshot covers.
fn tail(log: &SeenLog) -> String {
    let mut runs: Vec<(u64, u64, u64)> = Vec::new();
    for (index, cell) in log.from(0) {
        match runs.last_mut() {
            Some((_, last, term)) if *term == cell.term => *last = index,
            _ => runs.push((index, index, cell.term)),
        }
    }
    // What nobody saw has term 0.
    let known = |term: u64| if term == 0 { "?".to_string() } else { term.to_string() };
    let show = |&(first, last, term): &(u64, u64, u64)| {
        let term = known(term);
        if first == last { format!("{first}({term})") } else { format!("{first}-{last}({term})") }
    };
    let mut shown: Vec<String> = runs.iter().map(show).collect();
    let (base, term) = log.base();
    if base > 0 {
        shown.insert(0, format!("..{base}({})", known(term)));
    }
    let mut out = String::new();
    for (left, run) in shown.iter().enumerate().rev() {
        let more = if out.is_empty() { run.clone() } else { format!("{run} {out}") };
        let cut = if left > 0 { CUT.len() } else { 0 };
        if !out.is_empty() && cut + more.len() > LOG_WIDTH {
            return format!("{CUT}{out}");
        }
        out = more;
    }
    out
}

#[cfg(test)]
mod tests {
    use labnode::State;

    use super::*;
    use crate::events::picture::Standing;
    use crate::events::{Command, Entry, Life};

    fn peer(server: usize, role: Role, terms: &[u64]) -> Peer {
        let entries: Vec<Entry> =
            terms.iter().map(|&term| Entry { term, command: Command::of(b"x") }).collect();
        let mut peer = Peer {
            life: Some(Life { server, incarnation: 0 }),
            is: Standing { role, ..Default::default() },
            ..Default::default()
        };
        peer.log.has(0, 0, &entries);
        peer
    }

    #[test]
    fn every_server_has_a_line() {
        let mut picture = Picture {
            servers: vec![
                peer(0, Role::Leader, &[1, 1, 3]),
                peer(1, Role::Follower, &[1, 1]),
                peer(2, Role::Dead, &[]),
                peer(3, Role::Follower, &[]),
                peer(4, Role::Leader, &[]),
            ],
            groups: vec![vec![0, 1]],
            applies: true,
        };
        picture.servers[0].is =
            Standing { term: 3, voted_for: Some(0), commit: 3, applied: 2, ..picture.servers[0].is };
        picture.servers[3].log.replace(40, 2);
        // Compacted, and nobody saw the entry.
        picture.servers[4].log.compact(7, None);
        // Nobody expects an answer of it.
        picture.servers[4].frozen = true;
        let says = Answer::Says(State { term: 3, is_leader: true });
        let table =
            table(&picture, &[says, Answer::Silent, Answer::NotAsked, Answer::NotAsked, Answer::Silent]);
        let expected = "\
server  state              term  vote  commit  applied  log: index(term)
0       leader                3     0       3        2  1-2(1) 3(3)
1       follower              0     -       0        0  1-2(1)
2       crashed               0     -       0        0
3       follower, cut off     0     -       0        0  ..40(2)
4       leader, frozen        0     -       0        0  ..7(?)
state() of server 1 does not answer
";
        assert_eq!(table, expected);
    }

    #[test]
    fn of_a_long_log_the_end_is_shown() {
        let terms: Vec<u64> = (0..40).flat_map(|term| [term + 1, term + 1]).collect();
        let log = peer(0, Role::Follower, &terms).log;
        assert_eq!(tail(&log), ".. 77-78(39) 79-80(40)");
        // With the sign that there is more, too, it is as wide as its column.
        let terms: Vec<u64> = (0..5).flat_map(|term| [1000 + term; 2]).collect();
        let log = peer(0, Role::Follower, &terms).log;
        assert_eq!(tail(&log), ".. 7-8(1003) 9-10(1004)");
        let log = peer(0, Role::Follower, &[100, 1_000_000, 2_000_000]).log;
        assert_eq!(tail(&log), ".. 2(1000000) 3(2000000)");
        let log = peer(0, Role::Follower, &[u64::MAX]).log;
        assert_eq!(tail(&log), format!("1({})", u64::MAX), "the last entry is shown whatever it takes");
    }
}
