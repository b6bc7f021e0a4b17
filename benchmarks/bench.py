"""One run: what it measures, and on which cores."""

import argparse
import os
from contextlib import ExitStack

from benchmarks import bounds, conditions
from benchmarks.answers import Answers
from benchmarks.engine_curves import measure_engines
from benchmarks.figures import Launched
from benchmarks.plan import FULL, QUICK
from benchmarks.records import FILE_NAME, Records
from benchmarks.reviews import choose_reviews
from benchmarks.scaling import measure_scaling
from benchmarks.served import measure_rounds
from benchmarks.starting import measure_starts
from benchmarks.subject import BASELINE, OURS, ask_model, start
from benchmarks.under_load import measure_under_load
from bundle.store import find_version, load_bundle
from service.config import default_models

PARTS = ("served", "load", "start", "workers", "engine")
_FLAGS = {
    "cpu": ("--execution-provider", "cpu"),
    "cuda": ("--execution-provider", "cuda", "--max-batch-size", "4096", "--max-batch-tokens", str(4_096 * 500)),
}


class Bench:
    """The reviews, their right answers, and where the figures go."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.plan = QUICK if arguments.quick else FULL
        self.device, self.parts, self.flags = arguments.device, arguments.only, _FLAGS[arguments.device]
        self.all_cores = os.sched_getaffinity(0)
        self.server_core, client_core = conditions.choose_cores()
        os.sched_setaffinity(0, {client_core})  # before gRPC starts its threads, which keep to it, too
        bundle = load_bundle(find_version(default_models()))
        self.reviews = choose_reviews(arguments.data, bundle, self.plan.reviews)
        self.answers = Answers(bundle, self.reviews.texts)
        arguments.output.mkdir(parents=True)
        self.records = Records(arguments.output / FILE_NAME)

    def measure(self) -> None:
        """All parts that are wanted. Raises Refused where a figure would mean nothing."""
        if {"served", "load"} & {*self.parts}:
            self._measure_serving()
        plan, records = self.plan, self.records
        if "start" in self.parts:
            measure_starts([self.server_core], self.flags, plan, records)
        if "workers" in self.parts and self.device == "cpu":
            cores = sorted(self.all_cores, key=lambda core: core != self.server_core)  # that one first
            measure_scaling(self.answers, self.reviews.texts, cores, self.flags, plan, records)
        if "engine" in self.parts:
            self._measure_engine()
        if plan is FULL:
            for judged in bounds.judge(records):
                records.add(judged)

    def describe(self, quick: bool) -> None:
        """Record the conditions, which the server has a say in."""
        with start(OURS, self.answers, [self.server_core], self.flags) as subject:
            model = ask_model(subject.target)
        tokenizer = self.answers.bundle.tokenizer
        lengths = [len(tokenizer.encode(text).input_ids) for text in self.reviews.texts]
        cores, source = len(self.all_cores), self.reviews.source
        self.records.add(conditions.describe(model=model, reviews=source, lengths=lengths, cores=cores, quick=quick))

    def _measure_serving(self) -> None:
        with ExitStack() as cleanup:
            flags = {OURS: self.flags, BASELINE: ()}
            subjects = {
                name: cleanup.enter_context(start(name, self.answers, [self.server_core], own))
                for name, own in flags.items()
            }
            said = [line.partition(": ")[2] for line in subjects[OURS].running.log]
            self.records.add(Launched([*self.flags], said))
            if "served" in self.parts:
                measure_rounds(subjects, self.reviews.texts, self.plan, self.records)
            if "load" in self.parts:
                measure_under_load(subjects[OURS], self.reviews.texts, self.plan, self.records)

    def _measure_engine(self) -> None:
        bundle, texts = self.answers.bundle, self.reviews.texts
        measure_engines(bundle, texts, self.device, self.plan, self.records)
        if self.device == "cuda":
            from benchmarks.cuda import measure_cuda  # torch with CUDA is nothing that the others need

            measure_cuda(self.answers, texts, self.plan, self.records)
