package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	cadvisorapi "github.com/google/cadvisor/info/v1"
	"github.com/spf13/pflag"
	genericapiserver "k8s.io/apiserver/pkg/server"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/logs"
	"k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	"k8s.io/kubernetes/pkg/kubelet/cadvisor"
	"k8s.io/kubernetes/pkg/kubelet/kubeletconfig/configfiles"
	"k8s.io/kubernetes/pkg/util/filesystem"
)

// kubelet is upstream's, except that the node advertises ADVERTISED_CORES cores: the CPU requests
// of a mesh sum to more than a small machine has, while its use does not.
func kubelet() {
	if err := runKubelet(os.Args[1:]); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "kubelet:", err)
		os.Exit(1)
	}
}

// runKubelet does what upstream's command does for one --config file and no drop-in folder;
// only the source of the machine's facts is wrapped.
func runKubelet(args []string) error {
	cores, err := strconv.Atoi(os.Getenv("ADVERTISED_CORES"))
	if err != nil || cores < 1 {
		return fmt.Errorf("environment: ADVERTISED_CORES is %q, expected a number of cores", os.Getenv("ADVERTISED_CORES"))
	}
	ctx := genericapiserver.SetupSignalContext()
	server, err := kubeletServer(ctx, args)
	if err != nil {
		return err
	}
	deps, err := app.UnsecuredDependencies(ctx, server, utilfeature.DefaultFeatureGate)
	if err != nil {
		return err
	}
	machine, err := cadvisor.New(
		cadvisor.NewImageFsInfoProvider(server.ContainerRuntimeEndpoint),
		server.RootDirectory,
		[]string{"/"},
		cadvisor.UsingLegacyCadvisorStats(server.ContainerRuntimeEndpoint),
		server.LocalStorageCapacityIsolation,
	)
	if err != nil {
		return err
	}
	deps.CAdvisorInterface = roomyMachine{machine, cores}
	return app.Run(ctx, server, deps, utilfeature.DefaultFeatureGate)
}

func kubeletServer(ctx context.Context, args []string) (*options.KubeletServer, error) {
	flags := options.NewKubeletFlags()
	set := pflag.NewFlagSet("kubelet", pflag.ContinueOnError)
	flags.AddFlags(set)
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	loader, err := configfiles.NewFsLoader(&filesystem.DefaultFs{}, flags.KubeletConfigFile)
	if err != nil {
		return nil, err
	}
	config, err := loader.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("kubelet config: %w", err)
	}
	if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(config.FeatureGates); err != nil {
		return nil, err
	}
	logs.InitLogs()
	return &options.KubeletServer{KubeletFlags: *flags, KubeletConfiguration: *config}, nil
}

type roomyMachine struct {
	cadvisor.Interface
	cores int
}

func (m roomyMachine) MachineInfo() (*cadvisorapi.MachineInfo, error) {
	info, err := m.Interface.MachineInfo()
	if err != nil {
		return nil, err
	}
	roomy := *info
	roomy.NumCores = m.cores
	return &roomy, nil
}
