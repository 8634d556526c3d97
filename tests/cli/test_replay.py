from redraft.diffusion.trace import Trace
from redraft.reply import Commit, Draft


def save(path):
    events = (
        Draft(
            canvas_index=0,
            denoising_step=0,
            token_ids=(5, 6),
            text="hi there",
            changed=((0, "hi", 0.9), (1, " there", 0.8)),
            accepted=(0,),
            mean_entropy=0.2,
            temperature=0.8,
        ),
        Commit(token_ids=(5, 6), text="hi there"),
    )
    Trace(model="m", seed=1, params={"max_denoising_steps": 48}, events=events).save(path)


def test_piped_replay_prints_the_text_alone(run, tmp_path):
    save(tmp_path / "trace.json")
    done = run("replay", str(tmp_path / "trace.json"))
    assert (done.exit_code, done.stdout, done.stderr) == (0, "hi there\n", "")


def test_html_writes_one_page_and_prints_nothing(run, tmp_path):
    save(tmp_path / "trace.json")
    done = run("replay", str(tmp_path / "trace.json"), "--html", str(tmp_path / "page.html"))
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    assert "hi there" in (tmp_path / "page.html").read_text()


def test_a_file_that_is_no_trace_is_refused(run, tmp_path):
    (tmp_path / "other.json").write_text("[1, 2]")
    done = run("replay", str(tmp_path / "other.json"))
    assert done.exit_code == 1
    assert done.stderr.startswith("error: trace")
