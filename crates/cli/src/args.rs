//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    cancel, completions, config, cycle, dashboard, demo, dlq, doctor, events, history, job, lab,
    machine, plan, rack, recover, setup, status, tick, why, worker,
};
use crate::config::{ConfigError, Key, Places, Problem, SETTINGS};
use crate::living;

const AFTER_HELP: &str = "\
Settings come from flags, the environment, .env, racktick.toml, a NATS context and defaults, in this order;
`racktick config show` prints them all with their source.

Exit codes:
  0   done
  1   it failed, something is wrong, or the question was answered with no
  2   the command line makes no sense
  69  the broker, MAAS or Testflinger cannot be reached
  78  the configuration is wrong or lacks something";

/// Deploys every machine of a rack on its schedule, exactly once per slot, and watches every job to its verdict.
#[derive(Debug, Parser)]
#[command(name = "racktick", version, after_help = AFTER_HELP, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Configuration file; `racktick.toml` of the working directory without it [env: RACKTICK_CONFIG]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Global options"
    )]
    config: Option<PathBuf>,
    /// Any setting by its name in the file, such as `--set worker.concurrency=8`; repeatable
    #[arg(
        long,
        global = true,
        value_name = "KEY=VALUE",
        help_heading = "Global options"
    )]
    set: Vec<String>,
    /// Where the broker is [env: NATS_URL]
    #[arg(
        long,
        global = true,
        value_name = "URL",
        help_heading = "Global options"
    )]
    nats_url: Option<String>,
    /// How data is printed
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "table",
        help_heading = "Global options"
    )]
    pub(crate) output: Format,
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Role: arm the slots of the coming 24 hours, and bring back what fell out
    Scheduler,
    /// Role: take ticks, submit jobs, watch them to their verdicts
    Worker(worker::Arguments),
    /// Role: serve pages and an API that show the fleet, from a history file of its own
    Dashboard(dashboard::Arguments),
    /// What the dashboard's history file knows: export, import
    History(history::Arguments),
    /// Role: a pretend MAAS and Testflinger over HTTP, to try racktick without either
    Lab(lab::Arguments),
    /// Play everything on this machine with time compressed, and tell what happens
    Demo(demo::Arguments),
    /// Bring streams, consumers and buckets of the broker to what is declared; or make the keys of all roles
    Setup(setup::Arguments),
    /// Racks: add, list, show, set, pause, resume, remove
    #[command(subcommand)]
    Rack(rack::Command),
    /// Start a cycle of a rack now
    Tick(tick::Arguments),
    /// Cancel a job, a cycle, a rack's jobs, or all
    Cancel(cancel::Arguments),
    /// Show what a tick would do, with reasons; nothing is submitted
    Plan(plan::Arguments),
    /// Show the fleet, or one rack, on one screen; ends with 1 when a machine does not deploy
    Status(status::Arguments),
    /// Watch the fleet live on a full screen
    Watch,
    /// Show one cycle: every machine with its decision, what became of it, and what the cycle waits for
    Cycle(cycle::Arguments),
    /// Show one job: state, phases, looks, who cancelled it
    Job(job::Arguments),
    /// Show one machine: health, last jobs, what failed, and what every cycle decided about it and why
    Machine(machine::Arguments),
    /// Say why a machine was deployed or left alone: its last decisions, each with its rule, what that saw and how old it was
    Why(why::Arguments),
    /// Print events, as `nats sub` would
    Events(events::Arguments),
    /// Dead letters: list, show, replay, drop
    #[command(subcommand)]
    Dlq(dlq::Command),
    /// After the broker's data was lost: bring back the claims of jobs that Testflinger works on
    Recover(recover::Arguments),
    /// Look at everything that racktick stands on, and say what is wrong and what to do
    Doctor(doctor::Arguments),
    /// Show or check the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Print completions for a shell
    Completions(completions::Arguments),
}

impl Command {
    /// Whether it runs until it is stopped, and its log is what one sees of it.
    pub(crate) fn is_role(&self) -> bool {
        matches!(
            self,
            Self::Scheduler | Self::Worker(_) | Self::Dashboard(_) | Self::Lab(_)
        )
    }

    /// What it is called in traces, if what it does is a part of any.
    pub(crate) fn traced(&self) -> Option<&'static str> {
        match self {
            Self::Worker(_) => Some(living::WORKER.0),
            Self::Scheduler => Some(living::SCHEDULER.0),
            Self::Dashboard(arguments) if arguments.command.is_none() => Some(living::DASHBOARD.0),
            Self::Tick(_) | Self::Rack(_) | Self::Cancel(_) | Self::Dlq(_) | Self::Recover(_) => {
                Some("racktick")
            }
            _ => None,
        }
    }

    /// The values of settings that this command's own flags give.
    fn flags(&self) -> Vec<(Key, String, &'static str)> {
        match self {
            Self::Worker(arguments) => arguments.flags(),
            Self::Dashboard(arguments) => arguments.flags(),
            Self::History(arguments) => arguments.flags(),
            _ => Vec::new(),
        }
    }
}

impl Cli {
    /// Where the configuration is looked for.
    pub(crate) fn places(&self) -> Result<Places, ConfigError> {
        let mut flags: Vec<(Key, String, String)> = self
            .command
            .flags()
            .into_iter()
            .map(|(key, value, flag)| (key, value, flag.to_owned()))
            .collect();
        if let Some(url) = &self.global.nats_url {
            flags.push((Key::NatsUrl, url.clone(), "--nats-url".into()));
        }
        for text in &self.global.set {
            flags.push(set_flag(text)?);
        }
        let directory = std::env::current_dir()
            .map_err(|error| Problem::unreadable("the working directory", ".".as_ref(), error))?;
        Ok(Places {
            flags,
            environment: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            directory,
            file: self.global.config.clone(),
        })
    }
}

fn set_flag(text: &str) -> Result<(Key, String, String), Problem> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| Problem::BadFlag("without a `=`: write KEY=VALUE".into()))?;
    let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name.trim()) else {
        let nearest = crate::config::nearest(name, SETTINGS.iter().map(|setting| setting.name));
        let advice = nearest
            .map(|name| format!("; did you mean `{name}`?"))
            .unwrap_or_default();
        return Err(Problem::BadFlag(format!(
            "{name}: there is no such setting{advice}"
        )));
    };
    if setting.secret {
        return Err(Problem::BadFlag(format!(
            "{}: every user of this machine can read a command line; put the secret into {} or a file named by {}",
            setting.name,
            setting.variable,
            setting.file_variable()
        )));
    }
    Ok((
        setting.key,
        value.to_owned(),
        format!("--set {}", setting.name),
    ))
}
