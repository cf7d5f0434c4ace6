//! What hostile code tries when it runs, one thing for each seed. It is called as a server starts, in a solution that
//! is right but for this.

use std::fs::{File, OpenOptions, read_dir};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::{Command, exit};
use std::time::Duration;

/// The seed stands in the order that the process was started with.
fn seed() -> u64 {
    let order = std::env::var("LABSIM_CHILD").unwrap_or_default();
    order.split(' ').nth(2).and_then(|seed| seed.parse().ok()).unwrap_or(0)
}

/// Ends the run with a list of what should not have been possible.
fn tell(reached: Vec<String>) {
    panic!("reached: {reached:?}");
}

fn readable(paths: &[&str]) -> Vec<String> {
    let readable = |path: &&&str| match read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => File::open(path).is_ok_and(|mut file| file.read(&mut [0]).is_ok_and(|n| n > 0)),
    };
    paths.iter().filter(readable).map(|path| (*path).to_owned()).collect()
}

fn writable(paths: &[&str]) -> Vec<String> {
    let open = |path: &&&str| OpenOptions::new().append(true).create(true).open(path).is_ok();
    paths.iter().filter(open).map(|path| (*path).to_owned()).collect()
}

pub fn now() {
    let me = std::env::current_exe().unwrap_or_default();
    match seed() {
        1 => exit(0),
        2 => {
            println!("\nlab_2a::initial_election_2A: ok; all is well; 1 s, seed=2\n");
            println!("test lab_2a::initial_election_2A ... ok\n\ntest result: ok. 1 passed; 0 failed");
            println!("{{\"score\": 100.0, \"tests\": [{{\"status\": \"passed\"}}]}}");
            exit(0);
        }
        3 => tell(writable(&["/proc/self/mem", "/proc/1/mem", "/proc/self/oom_score_adj", "/dev/mem"])),
        4 => tell(readable(&["COURSE/Cargo.toml", "COURSE/raft/src", "POLICY", "/etc/passwd", "/root", "/home", "/proc/1/environ", "/proc/self/environ"])),
        5 => {
            let me = me.to_string_lossy().into_owned();
            tell(writable(&[&me, "COURSE/Cargo.toml", "POLICY", "/x", "/usr/lib/x", "/dev/x"]));
        }
        6 => {
            let mut reached = Vec::new();
            let address = "127.0.0.1:PORT".parse().unwrap();
            if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
                reached.push("the network".to_owned());
            }
            if UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"x", address)).is_ok() {
                reached.push("datagrams".to_owned());
            }
            tell(reached);
        }
        7 => loop {
            // As many copies of this program as there may be, each of which does the same.
            let order = std::env::var("LABSIM_CHILD").unwrap_or_default();
            let copy = Command::new(&me).args(["--exact", "lab_2a::initial_election_2A"]).env("LABSIM_CHILD", order).spawn();
            if copy.is_err() {
                tell(Vec::new());
            }
        },
        8 => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(vec![1_u8; 1 << 20]);
            }
        }
        9 => loop {
            println!("{}", "endless output ".repeat(1000));
        },
        10 => std::thread::sleep(Duration::MAX),
        11 => loop {
            std::hint::spin_loop();
        },
        12 => {
            let tools = ["/bin/sh", "/usr/bin/kill", "/bin/ls", "sh", "kill", "gdb", "curl"];
            let run = |tool: &&&str| Command::new(tool).arg("--version").output().is_ok();
            tell(tools.iter().filter(run).map(|tool| (*tool).to_owned()).collect());
        }
        13 => {
            // Outlives the run, if it can.
            let _ = Command::new(&me).args(["--list"]).stdin(std::process::Stdio::piped()).spawn();
            let order = std::env::var("LABSIM_CHILD").unwrap_or_default();
            let easier = order.replacen(" 13 ", " 99 ", 1);
            let _ = Command::new(&me).args(["--exact", "lab_2a::initial_election_2A", "--nocapture"]).env("LABSIM_CHILD", easier).status();
            exit(0);
        }
        14 => std::process::abort(),
        15 => {
            // The harness hears of panics by a hook.
            std::panic::set_hook(Box::new(|_| {}));
            std::thread::spawn(|| panic!("unheard"));
        }
        16 => {
            let mut out = Vec::new();
            for fd in 0..256 {
                if let Ok(mut file) = OpenOptions::new().write(true).open(format!("/proc/self/fd/{fd}")) {
                    let _ = file.write_all(&[1; 72]);
                    out.push(format!("descriptor {fd}"));
                }
            }
            tell(out);
        }
        17 => {
            // Waits for another process, which waits for what nobody says.
            let mut other = Command::new(&me);
            other.args(["--exact", "lab_2a::initial_election_2A"]).env_remove("LABSIM_CHILD").env("LABSIM_JUDGE", "1");
            if let Ok(mut other) = other.stdin(std::process::Stdio::piped()).spawn() {
                let _asks_nothing = other.stdin.take();
                let _ = other.wait();
            }
        }
        _ => {}
    }
}
