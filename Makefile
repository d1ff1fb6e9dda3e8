# make help lists the targets.
VERSION  ?= 0.1.0-dev
REVISION := $(shell git rev-parse HEAD 2>/dev/null)
# Records and figures are made by the binary, not built into it: new ones do not make it another.
DIRTY    := $(shell test -z "$$(git status --porcelain -- cmd internal go.mod go.sum 2>/dev/null)" && echo false || echo true)
LDFLAGS  := -s -w -X dla/internal/buildinfo.version=$(VERSION) -X dla/internal/buildinfo.revision=$(REVISION) -X dla/internal/buildinfo.dirty=$(DIRTY)
# The tests and trainings read real data from here where it is; else MNIST is fetched or drawn.
ifneq ($(wildcard ../shared/data),)
export DLA_DATA ?= $(abspath ../shared/data)
endif
# And real encoders from here; tests of theirs are skipped where there are none.
ifneq ($(wildcard ../shared/models),)
export DLA_MODELS ?= $(abspath ../shared/models)
endif
# A script that starts a Slurm for make test-slurm; else that of the repository does.
ifneq ($(wildcard ../shared/slurm/slurm-up.sh),)
export DLA_SLURM_UP ?= $(abspath ../shared/slurm/slurm-up.sh)
endif
export CGO_ENABLED = 0
GOLANGCI = go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: help build run test test-long test-browser test-slurm chaos race lint fuzz bench figures figures-check generate generated cross lab1 lab1-mlp lab1-cnn lab1-distill speedrun lab3 lab3-baseline lab3-finetune lab4 lab4-fgsm lab4-autoencoder lab4-ood lab4-robust

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build ./dla, one static binary
	go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o dla ./cmd/dla

run: build ## train the residual MLP of depth 5 on MNIST
	./dla lab1 resnet --depth 5 --res

test: ## all fast tests
	go test ./...

test-long: ## the long ones as well: 20 kills with SIGKILL on real MNIST, thread counts
	go test ./... -tags long -timeout 60m

test-browser: ## the live page in a real browser; needs Chromium (Debian: apt-get install chromium fonts-dejavu-core)
	@# screenshots are kept in the folder that DLA_SCREENSHOTS names
	go test ./internal/cli -tags browser -run InABrowser -v -timeout 10m

test-slurm: ## a sweep on a real Slurm, which is started here (root may install Debian's packages); skipped without it
	go test -p 1 -tags slurm -count=1 -v -timeout 20m -run 'TestCluster$$|TestSlurm$$' ./internal/slurm ./internal/cli

chaos: ## kill every command that writes, fail its system calls (with strace), cut a simulated disk's power; tables of it
	go test ./internal/cli -tags long -run 'TestChaos|TestPowerLoss|TestKillsAndThreads' -v -timeout 180m

race: ## the concurrent packages under the race detector (needs cgo and a C compiler)
	@# without the tests that count allocations, the detector makes its own, and without long sums in plain
	@# Go on many shapes, which are no more concurrent than the tests that are left
	CGO_ENABLED=1 go test -race -skip 'Allocate|Hostile|TestCIFAR10|TestConv$$|Outside|PassesAgree|LossCurve' ./internal/kernel ./internal/train ./internal/run ./internal/data ./internal/text ./internal/optim ./internal/download ./internal/web ./internal/sweep

lint: ## gofmt, go vet, golangci-lint
	@test -z "$$(gofmt -l cmd internal)" || { gofmt -l cmd internal; echo "these files want gofmt"; exit 1; }
	go vet ./...
	$(GOLANGCI) run ./...

fuzz: ## a minute of each fuzz target
	go test ./internal/kernel -fuzz FuzzGemm -fuzztime 60s
	go test ./internal/kernel -fuzz FuzzConv -fuzztime 60s
	go test ./internal/kernel -fuzz FuzzPasses -fuzztime 60s
	go test ./internal/kernel -fuzz FuzzEncoderPasses -fuzztime 60s
	go test ./internal/data -fuzz FuzzIDX$$ -fuzztime 60s
	go test ./internal/data -fuzz FuzzImageFolder -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/data -fuzz FuzzImage$$ -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/data -fuzz FuzzOwnData -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/data -fuzz FuzzIDXSet -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/data -fuzz FuzzCIFARPickle -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/data -fuzz FuzzDecoded -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/data -fuzz FuzzCIFARRecords -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/data -fuzz FuzzMAT -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/data -fuzz FuzzTexts -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/text -fuzz FuzzEncode -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/text -fuzz FuzzFolder -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/parquet -fuzz FuzzOpen -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/npz -fuzz FuzzRead -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/lora -fuzz FuzzAdapter -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/weights -fuzz FuzzLoad -fuzztime 60s
	go test ./internal/pickle -fuzz FuzzLoad -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/torch -fuzz FuzzOpen -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/labs -fuzz FuzzScores -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/model -fuzz FuzzReadEncoder -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/config -fuzz FuzzLoad -fuzztime 60s
	go test ./internal/run -fuzz FuzzRecord -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/report -fuzz FuzzSections -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/report -fuzz FuzzTables -fuzztime 60s -fuzzminimizetime 10x
	go test ./internal/cli -fuzz FuzzSentences -fuzztime 60s -fuzzminimizetime 10x

bench: build ## kernels, layers, training steps, evaluation
	./dla bench

generate: ## write the assembly and its tables anew from their generator
	go generate ./internal/kernel

generated: ## check that the committed assembly and tables are what their generator writes
	go generate ./internal/kernel
	git diff --exit-code -- internal/kernel/kernels_amd64.s internal/kernel/kernels_amd64.go internal/kernel/tables_amd64.go

cross: ## build for every platform
	@for t in linux/amd64 linux/arm64 darwin/arm64 windows/amd64; do \
		echo "build $$t"; GOOS=$${t%/*} GOARCH=$${t#*/} go build -o /dev/null ./cmd/dla || exit 1; done

# The studies of the journals, from data to their figures and tables. Finished runs are not repeated and stopped
# ones continue, so any of these can be stopped and started again.
lab1: lab1-mlp lab1-cnn lab1-distill speedrun ## run what is missing of lab 1, then draw its figures

lab1-mlp: build ## the MLPs on MNIST
	./dla lab1 resnet --config configs/lab1/mlp.yaml --depth 1,2,3,4,5,10,20 --res both --seeds 3 --out results/lab1/mlp --resume
	./dla lab1 resnet --config configs/lab1/mlp.yaml --depth 10 --res both --seeds 3 --grad-norms --out results/lab1/mlp-gradients --resume
	$(MAKE) figures

lab1-cnn: build ## the CNNs, ResNets and plain networks on CIFAR-10
	./dla lab1 resnet --config configs/lab1/cnn.yaml --model small --res both --seeds 3 --out results/lab1/cnn --resume
	./dla lab1 resnet --config configs/lab1/cnn.yaml --model medium,large --res both --out results/lab1/cnn --resume
	./dla lab1 resnet --config configs/lab1/resnet-short.yaml --model resnet20 --res both --out results/lab1/resnet20 --resume
	./dla lab1 resnet --config configs/lab1/resnet-short.yaml --model resnet20,resnet32,resnet56 --res both --epochs 10 --grad-norms --out results/lab1/depth --resume
	./dla lab1 resnet --config configs/lab1/resnet-short.yaml --model resnet20 --width 32 --epochs 24 --out results/lab1/wide --resume
	./dla lab1 resnet --config configs/lab1/resnet-muon.yaml --seeds 3 --out results/lab1/resnet20-muon --resume
	$(MAKE) figures

lab1-distill: build ## the teacher, and the student with and without it
	./dla lab1 distill --config configs/lab1/distill.yaml --seeds 3 --out results/lab1/distill --resume
	$(MAKE) figures

# One process a seed, so that each record has the time from the start of its process. The parts are left out of half as
# many epochs, where what each is worth stands out from the spread over seeds.
speedrun: build ## CIFAR-10 to 94 %: ten seeds, then each part of the recipe left out
	for seed in 0 1 2 3 4 5 6 7 8 9; do \
		./dla lab1 resnet --config configs/lab1/speedrun.yaml --seed $$seed --out results/lab1/speedrun --resume || exit; done
	for part in model.init=whiten+dirac model.init=dirac model.init=whiten "train.groups.bias_lr=1 --set train.groups.bias_decay=1" \
		train.average.kind=none data.augment.alternate=false; do \
		./dla lab1 resnet --config configs/lab1/speedrun-sgd.yaml --seeds 2 --set train.epochs=5 --set train.steps=242 --set $$part --out results/lab1/speedrun-parts --resume || exit; done
	$(MAKE) figures

lab3: lab3-baseline lab3-finetune ## run what is missing of lab 3, then draw its figures

lab3-baseline: build ## heads on frozen sentence encoders
	./dla lab3 baseline --config configs/lab3/baseline.yaml --encoder minilm,mpnet --seeds 3 --out results/lab3/baseline --resume
	$(MAKE) figures

lab3-finetune: build ## LoRA and full fine-tuning on MiniLM, and LoRA on MPNet
	./dla lab3 finetune --config configs/lab3/finetune.yaml --grid --seeds 2 --out results/lab3/finetune --resume
	./dla lab3 finetune --config configs/lab3/finetune.yaml --encoder mpnet --out results/lab3/finetune --resume
	$(MAKE) figures

lab4: lab4-autoencoder lab4-fgsm lab4-ood lab4-robust ## run what is missing of lab 4, then draw its figures

lab4-fgsm: build ## attacks on the shipped ResNet-20, with and without gradients
	./dla lab4 fgsm --config configs/lab4/fgsm.yaml --checkpoint resnet20 --out results/lab4/fgsm --resume
	$(MAKE) figures

lab4-autoencoder: build ## a decoder for the frozen features of the shipped checkpoint
	./dla lab4 autoencoder --config configs/lab4/autoencoder.yaml --out results/lab4/autoencoder --resume
	$(MAKE) figures

lab4-ood: build ## out-of-distribution detectors on the shipped checkpoint
	./dla lab4 ood --config configs/lab4/ood.yaml --out results/lab4/ood --resume
	$(MAKE) figures

lab4-robust: build ## adversarial fine-tuning of the shipped checkpoint, with outlier exposure
	./dla lab4 robust --config configs/lab4/robust.yaml --out results/lab4/robust --resume
	$(MAKE) figures

figures: build ## make the figures and tables of all pages from the records in results/
	./dla plot --readme

figures-check: build ## fail if a figure or a table of a page differs from the records
	./dla plot --readme --check
