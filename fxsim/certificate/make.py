"""Making a certificate of a record: everything that it stands on is read anew, and held to the hashes of the record."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec

from fxsim.certificate.check import find_problems
from fxsim.certificate.roms import ROMS, memory_contents, takes_no_files
from fxsim.certificate.statement import (
    FXSIM_CLONE,
    FXSIM_RTL,
    Base,
    Certificate,
    CheckResult,
    Clone,
    Covered,
    Digest,
    Folder,
    Point,
    Predicate,
    Signoff,
    Subject,
    refuse_path,
)
from fxsim.devices import DEVICES, make_settings
from fxsim.errors import FileError, ModelError
from fxsim.formats.text import read_bounded
from fxsim.graph import Model
from fxsim.paths import rtl_dir, verilog_files
from fxsim.prove.evidence import RECORD, read_list
from fxsim.signoff import Status, load_plan
from fxsim.signoff.accepted import ACCEPTED, accepted_path, hash_accepted, read_accepted
from fxsim.signoff.context import Context, SkipCheck
from fxsim.signoff.evidence import KeptEvidence
from fxsim.signoff.files import RECORD_BYTES_MAX, decode_record
from fxsim.signoff.judges import clone_dir, hash_judges, judge_files
from fxsim.signoff.plan import Check, Choice, Plan
from fxsim.signoff.record import CheckRecord, SignoffRecord, verdict
from fxsim.signoff.simulation import Setup
from fxsim.signoff.testpoints import find_stage_reached, judge_testpoints
from fxsim.simulate.sources import Sources, read_sources

FILES_MAX = 100_000
"""Most files that a certificate covers."""

_DIRECTORIES = {"vectors": "directories", "golden": "directory"}
"""The kinds of check whose settings name folders that are signed off, by the setting."""
_HELD_TO = ("areas", "waivers")
"""First words under which a record has the hashes of files that checks were held to."""


def make_certificate(
    record_file: Path, root: Path, plan_file: Path | None = None, also: Iterable[Path] = ()
) -> Certificate:
    """A certificate of a record that passed, of files below `root`; `also`: files and folders of evidence.

    FileError where the record did not pass, was interrupted, is of chosen checks alone, or of other files than are
    there now; where a file that it stands on lies outside of `root`.
    """
    data = read_bounded(record_file, RECORD_BYTES_MAX, "a sign-off record that this fxsim reads")
    record = decode_record(str(record_file), data)
    _refuse(record_file, record)
    plan = load_plan(plan_file or Path(record.plan), record.seed)
    if record.hashes.get("plan") != plan.sha256:
        raise FileError(f"{record_file}: is of another plan than {plan.path} is now; sign off again")
    expected = [check.name for check in plan.select(Choice(stage=record.stage))]
    if [check.name for check in record.checks] != expected or record.checks_in_plan != len(plan.checks):
        raise FileError(f"{record_file}: has not the checks that {plan.path} has up to its stage")
    judged = judge_testpoints(plan, record.checks)
    if (record.testpoints, record.stage_reached) != (judged, find_stage_reached(judged)):
        raise FileError(f"{record_file}: its testpoints are not those that its checks give by {plan.path}")
    making = _Making(record_file, record, plan, root.resolve())
    making.add(plan.path, "plan", sha256=plan.sha256)
    making.add(record_file, "record", sha256=hashlib.sha256(data).hexdigest())
    making.accepted()
    making.models()
    making.stimuli()
    making.rtl()
    making.judges()
    making.directories()
    making.proofs()
    for path in also:
        making.evidence(path)
    making.others()
    certificate = making.certificate()
    # Each file was read more than once: to be held to what the record says of it, and to be hashed.
    for problem in find_problems(certificate, root.resolve()):
        raise FileError(f"{problem}, while the certificate was made")
    return certificate


def _refuse(where: Path, record: SignoffRecord) -> None:
    """FileError for a record of which nothing may be certified."""
    if not record.complete:
        raise FileError(f"{where}: the sign-off was interrupted: nothing can be certified")
    if record.selected is not None:
        raise FileError(f"{where}: the sign-off was of chosen checks alone ({', '.join(record.selected)})")
    if not record.passed or not verdict(record.checks, record.complete, record.strict):
        wrong = [check.name for check in record.checks if check.status in (Status.FAILED, Status.ERROR)]
        raise FileError(f"{where}: the sign-off did not pass: {', '.join(wrong[:5]) or 'as its checks say'}")


@dataclass
class _Making:
    """A certificate while it is made."""

    where: Path
    record: SignoffRecord
    plan: Plan
    root: Path
    subjects: dict[str, str] = field(default_factory=dict)
    files: dict[str, Covered] = field(default_factory=dict)
    folders: dict[tuple[str, str], Folder] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    """Names of the record's hashes that the files of now were held to."""
    not_covered: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context = Context(self.plan, lambda _done, _total: None, lambda _text: None)
        self.held.add("plan")
        # The whole second in which the record says that it began may have been over nearly.
        began = datetime.fromisoformat(self.record.started)
        self.ended = (began + timedelta(seconds=self.record.seconds + 1)).timestamp()

    # --- files ---

    def add(self, path: Path, role: str, dated: bool = False, sha256: str | None = None) -> str:
        """Cover a file below the root; its name. `dated`: it may not have been written after the sign-off.

        `sha256`: what it must have, where that is known.
        """
        name = self._name(path)
        data = path.read_bytes()
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise FileError(f"{path}: is another one than was signed off; sign off again")
        if dated and path.stat().st_mtime > self.ended:
            raise FileError(f"{path}: was written after the sign-off, which says nothing of it; sign off again")
        self._cover(name, data, role)
        return name

    def _name(self, path: Path) -> str:
        try:
            name = path.resolve(strict=True).relative_to(self.root).as_posix()
        except ValueError:
            raise FileError(
                f"{path}: lies outside of {self.root}: give a --root that holds all that is covered"
            ) from None
        except OSError as error:
            raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
        refuse_path(str(path), name)
        return name

    def _cover(self, name: str, data: bytes, role: str, base: Base = "root", *made_of: str) -> None:
        sha256 = hashlib.sha256(data).hexdigest()
        if self.subjects.setdefault(name, sha256) != sha256:
            raise FileError(f"'{name}' changed while the certificate was made, or is the name of two things")
        if len(self.subjects) > FILES_MAX:
            raise FileError(f"the certificate would cover more than {FILES_MAX:,} files")
        # The first role stays: a golden model is a model before it is a file of a folder.
        if name not in self.files:
            row = {"role": role, "base": base} | dict(zip(("model", "device"), made_of, strict=False))
            self.files[name] = msgspec.convert(row, Covered)

    def _hold(self, what: str, sha256: str | None, now: str) -> None:
        """FileError unless something has the hash that the record states of it."""
        stated = self.record.hashes.get(what)
        if stated is None:
            return
        if sha256 != stated:
            raise FileError(f"{self.where}: {what} is another one than was signed off: {now}; sign off again")
        self.held.add(what)

    def _folder(self, folder: Path, role: str, dated: bool) -> None:
        """Cover a folder whole."""
        name = self._name(folder)
        if not folder.is_dir():
            raise FileError(f"{folder}: is no folder")
        for path in sorted(folder.rglob("*")):
            if path.is_dir():
                continue
            if name == "." and path.resolve() == self.where.resolve():
                continue
            self.add(path, role, dated)
        self.folders[name, "root"] = Folder(name=name, base="root", verilog=False)

    # --- what the sign-off stood on ---

    def models(self) -> None:
        """Models by their content, and the files that they came from."""
        for name in self._stated("model"):
            if name not in self.plan.models:
                continue
            source = self.plan.models[name]
            try:
                self.context.model(name)
            except SkipCheck as reason:
                raise FileError(f"{self.where}: model '{name}' is not there now: {reason}") from None
            what = f"model {name}"
            self._hold(
                what, self.context.hashes[what], "its file changed" if source.file else "it is made otherwise now"
            )
            if source.file is not None:
                self.add(self.context.path(source.file), "model")
            elif source.published is not None:
                self.not_covered.append(f"the published files of model '{name}', whose content was signed off")

    def stimuli(self) -> None:
        """Stimuli of files, by their values, and their files."""
        for name in self._stated("stimulus"):
            source = self.plan.stimuli.get(name)
            if source is None:
                continue
            what = f"stimulus {name}"
            if source.file is None:
                continue
            for check in self._passed():
                if name in check.named_stimuli:
                    model = self.context.model(check.named_models[0])
                    self.context.stimulus(name, model, 0)
                    break
            self._hold(what, self.context.hashes.get(what), "its file changed")
            self.add(self.context.path(source.file), "stimulus")

    def accepted(self) -> None:
        """The figures that checks were held to."""
        now = read_accepted(self.plan)
        if ACCEPTED in self.record.hashes:
            self._hold(ACCEPTED, None if now is None else hash_accepted(now), f"{accepted_path(self.plan)} changed")
            self.add(accepted_path(self.plan), "plan")
        elif now is not None:
            self.not_covered.append(f"{accepted_path(self.plan).name}, to which the sign-off was not held")

    def rtl(self) -> None:
        """The Verilog of every device that a check judged, and the descriptions of designs."""
        for check in self._passed():
            for setup in check.setups:
                models = [self.context.model(name) for name in check.named_models]
                names: dict[str, Model | None] = {setup.rtl_of(model): model for model in reversed(models)}
                names = names or {setup.rtl_name: None}
                if not names.keys() <= self.record.hashes.keys():
                    what = f"the Verilog of check '{check.name}', of which the record states no hash"
                    self.not_covered.append(what)
                    continue
                if not check.named_models:  # of fxsim's own alone
                    if setup.rtl_name not in self.held:
                        self._read_sources(setup.rtl_name, read_sources(rtl_dir()))
                    continue
                for rtl_name, model in names.items():
                    if rtl_name not in self.held and model is not None:
                        self._sources(setup, rtl_name, model)
                for model_name in dict.fromkeys(check.named_models):
                    self._roms(model_name, setup.accelerator)

    def _read_sources(self, rtl_name: str, sources: Sources, made: Collection[str] = ()) -> None:
        self._hold(rtl_name, sources.sha256, f"the Verilog in {sources.folder} changed")
        self._verilog(sources, made)

    def _sources(self, setup: Setup, rtl_name: str, model: Model) -> None:
        device = DEVICES[setup.accelerator]
        settings, own = setup.found(self.context)
        fitted = device.fit(model, make_settings(device.name, device.settings, settings))
        self._read_sources(rtl_name, fitted.design.read(own), fitted.design.made)
        for name, value in settings.items():
            what = f"{name} {setup.settings.get(name)}"
            if what in self.record.hashes and isinstance(value, str):
                path = Path(value)
                self._hold(what, hashlib.sha256(path.read_bytes()).hexdigest(), f"{path} changed")
                self.add(path, "design")

    def _verilog(self, sources: Sources, made: Collection[str]) -> None:
        """Cover files of Verilog, but for what is made of them and of the description: it lies in no folder."""
        folder = sources.folder
        ours = folder.resolve() == rtl_dir().resolve() and not folder.resolve().is_relative_to(self.root)
        for name, data in sources.files.items():
            if name in made:
                continue
            if ours:
                self._cover(f"{FXSIM_RTL}/{name}", data, "rtl", "fxsim")
            else:
                self._cover(self._name(folder / name), data, "rtl")
        if set(verilog_files(folder)) <= set(sources.files):
            base: Literal["root", "fxsim"] = "fxsim" if ours else "root"
            name = FXSIM_RTL if ours else self._name(folder)
            self.folders[name, base] = Folder(name=name, base=base, verilog=True)
        else:
            self.not_covered.append(f"Verilog that is added beside the files that are read of {self._name(folder)}")

    def judges(self) -> None:
        """The testbenches and tests that a check judged by, each folder whole."""
        for check in self._passed():
            for name in check.judges:
                if name not in self.record.hashes:
                    self.not_covered.append(f"the {name} of check '{check.name}', of which the record states no hash")
                    continue
                if name in self.held:
                    continue
                self._hold(name, hash_judges(name), f"the {name} in {clone_dir()} changed")
                ours = not clone_dir().resolve().is_relative_to(self.root)
                for inside, path in judge_files(name).items():
                    if ours:
                        self._cover(f"{FXSIM_CLONE}/{inside}", path.read_bytes(), "judge", "fxsim")
                    else:
                        self.add(path, "judge")
                base: Base = "fxsim" if ours else "root"
                folder = f"{FXSIM_CLONE}/{name}" if ours else self._name(clone_dir() / name)
                self.folders[folder, base] = Folder(name=folder, base=base, verilog=False, python=True)  # type: ignore[arg-type]

    def _roms(self, model_name: str, device: str) -> None:
        """The memory contents that a device reads of a model that is a file."""
        file = self.plan.models[model_name].file
        if file is None or not takes_no_files(device):
            return
        of = self._name(self.context.path(file))
        try:
            made = memory_contents(self.context.model(model_name), device)
        except ModelError:
            return
        for name, data in made.items():
            self._cover(f"{ROMS}/{device}/{of}/{name}", data, "rom", "derived", of, device)

    def directories(self) -> None:
        """Folders of vectors, and golden ones."""
        for check in self._passed():
            setting = _DIRECTORIES.get(check.kind)
            if setting is None:
                continue
            named = getattr(check, setting)
            for folder in (named,) if isinstance(named, str) else named:
                self._folder(self.context.path(folder), "vectors", dated=True)

    def proofs(self) -> None:
        """The evidence that proofs kept beside the record, as it was then: by the hash of its list, file by file."""
        for check in self.record.checks:
            rows = check.details.of(KeptEvidence)
            for row in rows:
                folder = self.where.parent / row.folder
                self.add(folder / RECORD, "evidence", sha256=row.sha256)
                for name, sha256 in read_list(folder).files.items():
                    self.add(folder / name, "evidence", sha256=sha256)
                count = len(self.subjects)
                self._folder(folder, "evidence", dated=False)
                if len(self.subjects) != count:
                    raise FileError(f"{folder}: has files that are none of its evidence; sign off again")
            if check.kind == "proof" and not rows:
                self.not_covered.append(f"evidence of check '{check.name}', which keeps none beside the record")

    def evidence(self, path: Path) -> None:
        """A file or folder that was named besides, such as the evidence of proofs."""
        if path.is_dir():
            self._folder(path, "evidence", dated=False)
        else:
            self.add(path, "evidence")

    def others(self) -> None:
        """Hashes of the record that no file of now was held to: they are said to be not covered, by name.

        Files that checks were held to, recorded areas and waivers, must be there as they were.
        """
        for what, sha256 in self.record.hashes.items():
            if what in self.held:
                continue
            kind, _, name = what.partition(" ")
            path = self.context.path(name) if name else None
            if path is not None and path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
                self.add(path, "other")
            elif kind in _HELD_TO:
                self._hold(what, None, f"{path} changed")
            elif kind == "model" and name in self.plan.models and self.plan.models[name].file is None:
                continue
            else:
                self.not_covered.append(f"{what}, of which the record states sha256 {sha256}")

    def _stated(self, kind: str) -> list[str]:
        return [what.partition(" ")[2] for what in self.record.hashes if what.startswith(f"{kind} ")]

    def _passed(self) -> Iterator[Check]:
        """Checks of the plan that passed, or were reported."""
        ended = {check.name: check.status for check in self.record.checks}
        return (c for c in self.plan.checks if ended.get(c.name) in (Status.PASSED, Status.REPORTED))

    # --- the statement ---

    def certificate(self) -> Certificate:
        """The certificate of all that was added."""
        record = self.record
        for check in record.checks:
            if check.status is not Status.PASSED:
                self.not_covered.append(f"check '{check.name}', which was {check.status}: {check.reason}")
        left = record.checks_in_plan - len(record.checks)
        if left:
            self.not_covered.append(f"{left} checks of the plan, of stages after {record.stage}")
        if record.commit.dirty is not False:
            self.not_covered.append("changes of fxsim beyond its commit, or what commit it was of")
        signoff = Signoff(
            title=record.title,
            plan=self._name(self.plan.path),
            started=record.started,
            seed=record.seed,
            strict=record.strict,
            stage=record.stage,
            stage_reached=record.stage_reached,
            checks_in_plan=record.checks_in_plan,
            statuses=dict(Counter(str(check.status) for check in record.checks)),
            checks=tuple(map(_result, record.checks)),
            testpoints=tuple(
                Point(name=p.name, stage=p.stage, claim=p.claim, status=str(p.status)) for p in record.testpoints
            ),
        )
        predicate = Predicate(
            version=1,
            signoff=signoff,
            fxsim_version=record.fxsim_version,
            fxsim=Clone(name="fxsim", commit=record.commit.id, dirty=record.commit.dirty),
            design=tuple(
                Clone(name=r.name, commit=r.id, dirty=r.dirty, untracked=r.untracked) for r in record.repositories
            ),
            tools=record.tools,
            files=dict(sorted(self.files.items())),
            folders=tuple(self.folders[key] for key in sorted(self.folders)),
            not_covered=tuple(dict.fromkeys(self.not_covered)),
        )
        subjects = (Subject(name=name, digest=Digest(sha256=sha)) for name, sha in sorted(self.subjects.items()))
        return Certificate(subject=tuple(subjects), predicate=predicate)


def _result(check: CheckRecord) -> CheckResult:
    figures = {f.label: f"{f.value} {f.unit}".rstrip() for f in check.details.figures if f.value is not None}
    return CheckResult(
        name=check.name,
        kind=check.kind,
        status=str(check.status),  # type: ignore[arg-type]  # a record that passed has no other
        summary=check.summary,
        reason=check.reason,
        figures=figures,
    )
