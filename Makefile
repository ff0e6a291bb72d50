# The commands of this repository; each is a script in e2e/cluster, whose README says how it works.

.PHONY: help up down test campaign bench images clean-cache

help:
	@echo "make up            build Ferrosail, start a cluster, install a mesh with an application; first time at most 15 min, later 30 s"
	@echo "make up CLUSTER=<kubeconfig> HUB=<registry>"
	@echo "                   the same on an existing cluster, after asking (YES=1 answers)"
	@echo "make down          end the cluster of make up"
	@echo "make test          every test, the end-to-end ones on a second cluster of their own"
	@echo "make campaign      what takes hours: fuzzing, the operator ended at every write, ten minutes without any; ONLY=fuzz|kills|quiet"
	@echo "make bench         times of generation; with LOAD_TOOLS=<folder> also of pushes to 1,000 simulated proxies"
	@echo "make images        OCI archives of pilot, proxyv2 and bookinfo in target/images"
	@echo "make clean-cache   remove what was built for clusters, about 1 GB in ~/.cache/ferrosail"

up:
	@NAME=ferrosail N=0 CLUSTER="$(CLUSTER)" HUB="$(HUB)" YES="$(YES)" e2e/cluster/up.sh

down:
	@NAME=ferrosail N=0 e2e/cluster/stop.sh

test:
	@NAME=ferrosail-test N=1 e2e/cluster/test.sh

campaign:
	@NAME=ferrosail-test N=1 ONLY="$(ONLY)" e2e/cluster/campaign.sh

bench:
	@cargo bench -p envoy
	@cargo build --release -p ferrosail
	@if [ -n "$(LOAD_TOOLS)" ]; then e2e/load/measure.sh plaintext && e2e/load/measure.sh tls; fi

images:
	@cargo build --release
	@e2e/cluster/images.sh

clean-cache:
	@e2e/cluster/clean.sh
