// One binary for every part of Kubernetes: 98 MB instead of 600. The name that it is called by chooses the part.
// Two parts are ours: a DNS in the place of CoreDNS, which Debian does not have, and the nodes' half of a vxlan CNI.
package main

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubectl/pkg/cmd"

	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubeadm "k8s.io/kubernetes/cmd/kubeadm/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// How each part takes flags is how its own main does it; those of the Go libraries reach proxy and kubectl only.
var parts = map[string]func() *cobra.Command{
	"kube-apiserver":          func() *cobra.Command { return apiserver.NewAPIServerCommand() },
	"kube-controller-manager": func() *cobra.Command { return controllers.NewControllerManagerCommand() },
	"kube-scheduler":          func() *cobra.Command { return dashed(scheduler.NewSchedulerCommand(), false) },
	"kube-proxy":              func() *cobra.Command { return dashed(proxy.NewProxyCommand(), true) },
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand() },
	"kubectl":                 func() *cobra.Command { return dashed(cmd.NewDefaultKubectlCommand(), true) },
}

var own = map[string]func() error{"coredns": serveNames, "harness-cni": joinPodNetworks}

func dashed(command *cobra.Command, goFlags bool) *cobra.Command {
	pflag.CommandLine.SetNormalizeFunc(cliflag.WordSepNormalizeFunc)
	if goFlags {
		pflag.CommandLine.AddGoFlagSet(flag.CommandLine)
	}
	return command
}

func main() {
	rand.Seed(time.Now().UnixNano())
	name := filepath.Base(os.Args[0])
	if name == "kubeadm" {
		// it registers the logging library's flags itself, and refuses those that the other parts brought along
		flag.CommandLine = flag.NewFlagSet(name, flag.ExitOnError)
		pflag.CommandLine = pflag.NewFlagSet(name, pflag.ExitOnError)
		exit(kubeadm.Run())
	}
	if ours, known := own[name]; known {
		exit(ours())
	}
	part, known := parts[name]
	if !known {
		fmt.Fprintf(os.Stderr, "%s: not a part of Kubernetes\n", name)
		os.Exit(64)
	}
	command := part()
	logs.InitLogs()
	err := command.Execute()
	logs.FlushLogs()
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
