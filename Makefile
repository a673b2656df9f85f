# `make help` lists the targets. Each one makes the virtual environment it needs in .venv.
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3,$(if $(shell command -v $(name)),$(name))))
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo
TRAIN_DEMO := train-demo
# In it each gets steps enough for its purpose; `tests/transformer/test_train_demo.py` has fewer.
TRAIN_STEPS := 3600
TRAIN_SEED := 0
SHUFFLED_STEPS := 1000
TASKS := babyai/GoToRedBallNoDists babyai/GoToLocal gymnasium/CartPole-v1-perturbed \
	dm_control/lqr-lqr_2_1 metaworld/reach-v3
TRAIN := $(BIN)/gato-data train --preset tiny --set hide_actions=true --batch 8 --rate 4e-3 --clip 1
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: help demo train-demo shuffled-demo test test-slow test-torch tpu-compile test-flink test-prism soak flips fuzz scale growth fidelity mutants catalogue lint format bench clean

help:  ## Lists the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || \
		{ echo "gato-data needs Python 3.11 or 3.12, and $(PYTHON) is another version. Install one, or name it: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Installing into $(VENV), which takes some minutes the first time."
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[build,dev,envs,train]' --constraint constraints.txt
	@touch $@

demo: $(VENV)/.ready  ## Records experts and scenes, trains a vocabulary, builds sequences, shows them.
	rm -rf $(DEMO)
	$(BIN)/gato-data record babyai/GoToLocal babyai/UnlockPickup babyai-pixels/GoToRedBall \
		metaworld/reach-v3 dm_control/lqr-lqr_2_1 \
		--output $(DEMO)/data --episodes 50 --seed 1 --noise 0.5
	$(BIN)/gato-data record babyai-captions/GoToLocal babyai-questions/GoToLocal \
		--output $(DEMO)/data --episodes 60 --seed 1
	$(BIN)/gato-data vocab LICENSE $(DEMO)/data/*/1.0.0 \
		$(DEMO)/data/babyai_captions_go_to_local $(DEMO)/data/babyai_questions_go_to_local \
		--output $(DEMO)/text.model --size 600
	$(BIN)/gato-data build configs/demo.yaml --output $(DEMO)/out
	$(BIN)/gato-data verify $(DEMO)/out
	$(BIN)/gato-data inspect $(DEMO)/out --dataset babyai_go_to_local --prompted

# A step on processors allocates and frees the scores of the head, hundreds of megabytes. Kept in one
# place and in large pages, they cost no page faults, which doubles the speed.
train-demo shuffled-demo: export GLIBC_TUNABLES := glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=268435456
train-demo: $(VENV)/.ready  ## Records experts, trains a model on them, and lets it act beside them.
	rm -rf $(TRAIN_DEMO)
	$(BIN)/gato-data record babyai/GoToRedBallNoDists babyai/GoToLocal \
		--output $(TRAIN_DEMO)/data --episodes 500 --seed 1
	$(BIN)/gato-data record dm_control/lqr-lqr_2_1 --output $(TRAIN_DEMO)/data --episodes 60 --seed 1
	$(BIN)/gato-data record gymnasium/CartPole-v1-perturbed metaworld/reach-v3 \
		--output $(TRAIN_DEMO)/data --episodes 500 --max-steps 150 --seed 1
	$(BIN)/gato-data vocab $(TRAIN_DEMO)/data/babyai_go_to_red_ball_no_dists/1.0.0 \
		$(TRAIN_DEMO)/data/babyai_go_to_local/1.0.0 --output $(TRAIN_DEMO)/text.model
	$(BIN)/gato-data build configs/train_demo.yaml --output $(TRAIN_DEMO)/out
	$(TRAIN) $(TRAIN_DEMO)/out --steps $(TRAIN_STEPS) --seed $(TRAIN_SEED) --output $(TRAIN_DEMO)/run
	$(BIN)/gato-data evaluate $(TRAIN_DEMO)/run $(TASKS) --episodes 50 --parallel 50 --checkpoint last --temperature 0.5 \
		--from-zero dm_control/lqr-lqr_2_1=no-action --controls \
		--json $(TRAIN_DEMO)/scores.json --plot $(TRAIN_DEMO)/scores.png

# The control of the demo: what the same model learns from the same observations without their actions.
shuffled-demo: $(VENV)/.ready  ## After train-demo: trains on actions of other steps, which must fail.
	rm -rf $(TRAIN_DEMO)/shuffled*
	$(BIN)/python -m benchmarks.shuffled_actions $(TRAIN_DEMO)/data $(TRAIN_DEMO)/shuffled
	sed 's|train-demo/data|train-demo/shuffled|' configs/train_demo.yaml > $(TRAIN_DEMO)/shuffled.yaml
	$(BIN)/gato-data build $(TRAIN_DEMO)/shuffled.yaml --output $(TRAIN_DEMO)/shuffled-out --quiet
	$(TRAIN) $(TRAIN_DEMO)/shuffled-out --steps $(SHUFFLED_STEPS) --output $(TRAIN_DEMO)/shuffled-run
	$(BIN)/gato-data evaluate $(TRAIN_DEMO)/shuffled-run $(TASKS) --episodes 20 --parallel 20 \
		--checkpoint last --temperature 0.5 --from-zero dm_control/lqr-lqr_2_1=no-action

test: $(VENV)/.ready  ## Runs the tests.
	$(BIN)/python -m pytest -q -m "not slow" -n logical --dist loadfile

test-torch:  ## Installs PyTorch in .venv-torch (6 GB), without Beam or TensorFlow, and tests its adapter.
	$(PYTHON) -m venv --clear .venv-torch
	.venv-torch/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[load,torch]' \
		flask flask-cors hypothesis 'moto[s3]' pillow pytest rlds==0.1.6 s3fs simplejpeg --constraint constraints.txt
	.venv-torch/bin/python -m pytest -q tests/loading/test_torch.py tests/loading/test_running.py

tpu-compile:  ## Compiles the training steps for TPUs in .venv-tpu (2 GB); takes an hour or more.
	$(PYTHON) -m venv .venv-tpu
	.venv-tpu/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[train]' \
		hypothesis pytest --constraint constraints.txt
	@if .venv-tpu/bin/python -m pip install --quiet --disable-pip-version-check 'jax[tpu]' --constraint constraints.txt; then \
		.venv-tpu/bin/python -m benchmarks.tpu_compile --write docs/tpu.md && \
		.venv-tpu/bin/python -m pytest -q tests/transformer/test_tpu_compile.py; \
	else \
		echo "Skipped: libtpu, the compiler for TPUs, cannot be installed here (it is made for Linux on x86-64). pip says why above."; \
	fi

test-prism: $(VENV)/.ready  ## Brings Prism by Go into .cache, and builds on it.
	$(BIN)/python -m pytest -q -s -m slow tests/engines/test_prism.py

test-flink: $(VENV)/.ready  ## Brings Flink by Maven into .cache, starts a cluster, and builds on it.
	$(BIN)/python -m pytest -q -s -m slow tests/engines/test_flink.py

soak: $(VENV)/.ready  ## Strikes builds with 100 faults at random moments; takes some ten minutes.
	$(BIN)/python -m tests.faults.soak --faults 100

flips: $(VENV)/.ready  ## Turns over 10,000 bytes of small builds, one at a time: verify must find each.
	$(BIN)/python -m tests.faults.flips --flips 10000

fuzz: $(VENV)/.ready  ## Feeds damaged inputs to all readers, ten minutes each; takes six hours.
	$(BIN)/python -m tests.fuzzing --seconds 600

scale: $(VENV)/.ready  ## Plans a hundredth of the paper's episodes; prints time, memory and sizes.
	$(BIN)/python -m benchmarks.scale --fraction 0.01

growth: $(VENV)/.ready  ## Builds 1, 10 and 100 times the same data; needs a quiet machine and 25 GB.
	$(BIN)/python -m benchmarks.growth

test-slow: $(VENV)/.ready  ## Runs the proofs that take minutes: memory, the whole companding table.
	$(BIN)/python -m pytest -q -m slow

fidelity: $(VENV)/.ready  ## Prints the rules of the paper, each with a pass or FAIL of its tests.
	$(BIN)/python -m tests.fidelity

mutants: $(VENV)/.ready  ## Puts known mistakes into a copy of the code: tests must catch them all.
	$(BIN)/python -m tests.mutation

lint: $(VENV)/.ready  ## Checks style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.ready  ## Formats the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

catalogue: $(VENV)/.ready  ## Writes the table of docs/catalogue.md anew.
	$(BIN)/python -m tests.catalogue

bench: $(VENV)/.ready  ## Measures speed; prints rates and ratios of one run.
	$(BIN)/python -m benchmarks.build_speed
	$(BIN)/python -m benchmarks.corpus_speed
	$(BIN)/python -m benchmarks.load_speed
	$(BIN)/python -m benchmarks.encodings

clean:  ## Removes virtual environments and demos.
	rm -rf $(VENV) .venv-torch .venv-tpu .cache $(DEMO) $(TRAIN_DEMO) build *.egg-info
