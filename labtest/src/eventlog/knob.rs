//! [`Knob`]: when event logs are written, and where (`LAB_TIMELINE`).

use std::path::PathBuf;
use std::{env, io};

use crate::files;

/// The environment variable.
pub(crate) const VARIABLE: &str = "LAB_TIMELINE";

/// When event logs are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Knob {
    /// For runs that fail.
    OnFailure,
    /// For all runs; in this directory, if it is given.
    Always(Option<PathBuf>),
    Never,
}

impl Knob {
    /// As the environment says. The error says what it takes.
    pub(crate) fn read() -> Result<Knob, String> {
        Knob::parse(env::var_os(VARIABLE).map(|value| value.to_string_lossy().into_owned()))
    }

    fn parse(value: Option<String>) -> Result<Knob, String> {
        Ok(match value.as_deref() {
            None => Knob::OnFailure,
            Some("always") => Knob::Always(None),
            Some("never") => Knob::Never,
            // A word without a slash is a misspelt one, more likely than a directory.
            Some(path) if path.contains('/') => Knob::Always(Some(path.into())),
            Some(other) => {
                let takes = "`always`, `never` or a directory, written with a slash: `./logs`";
                return Err(format!("{VARIABLE}={other:?}: it takes {takes}"));
            }
        })
    }

    /// Where the log of a run is written, if it is.
    pub(crate) fn directory(&self, failed: bool) -> Option<io::Result<PathBuf>> {
        match self {
            Knob::Never => None,
            Knob::OnFailure if !failed => None,
            Knob::OnFailure | Knob::Always(None) => Some(files::directory()),
            Knob::Always(Some(path)) => Some(Ok(path.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_values_are_read_and_others_refused() {
        let parsed = |value: &str| Knob::parse(Some(value.to_string()));
        assert_eq!(Knob::parse(None), Ok(Knob::OnFailure));
        assert_eq!((parsed("always"), parsed("never")), (Ok(Knob::Always(None)), Ok(Knob::Never)));
        assert_eq!(parsed("./logs"), Ok(Knob::Always(Some("./logs".into()))));
        for malformed in ["", "allways", "1"] {
            let error = parsed(malformed).unwrap_err();
            assert!(error.starts_with(&format!("LAB_TIMELINE={malformed:?}: it takes `always`")), "{error}");
        }
    }

    #[test]
    fn it_decides_whether_a_run_is_written() {
        let always = Knob::Always(Some("x/y".into()));
        let written = |knob: &Knob| [false, true].map(|failed| knob.directory(failed).is_some());
        assert_eq!(written(&Knob::OnFailure), [false, true]);
        assert_eq!((written(&always), written(&Knob::Never)), ([true, true], [false, false]));
        assert_eq!(always.directory(false).unwrap().unwrap(), PathBuf::from("x/y"));
    }
}
