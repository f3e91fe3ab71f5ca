//! `rsmoe completions` and `rsmoe man`.

use super::support::{bare, code, stderr, stdout};

#[test]
fn every_shell_gets_completions_that_know_commands_and_options() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = bare().args(["completions", shell]).output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let script = stdout(&output);
        for word in ["scene", "caption", "convert", "min-valid", "read-timeout"] {
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
    }
    let output = bare().args(["completions", "tcsh"]).output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("possible values"), "{}", stderr(&output));
}

#[test]
fn bash_accepts_its_completions() {
    let script = stdout(&bare().args(["completions", "bash"]).output().unwrap());
    let status = std::process::Command::new("bash").args(["-n", "-c", &script]).status().unwrap();
    assert!(status.success());
}

#[test]
fn every_command_has_a_manual_page_but_the_hidden_one() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("share/man1");
    let output = bare().arg("man").arg(&pages).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let page = |name: &str| std::fs::read_to_string(pages.join(name));
    assert!(page("rsmoe.1").unwrap().contains("Exit codes"), "exit codes stand in the manual");
    assert!(page("rsmoe-scene.1").unwrap().contains("resumes"));
    assert!(page("rsmoe-read-rasters.1").is_err());
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = bare().arg("man").arg(file.join("pages")).output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("hint: "), "{}", stderr(&output));
}

#[test]
fn every_command_shows_examples() {
    for command in ["caption", "ask", "scene", "merge", "convert", "report"] {
        let help = stdout(&bare().args([command, "--help"]).output().unwrap());
        assert!(help.contains("Examples:\n  rsmoe "), "{command}: {help}");
    }
}
