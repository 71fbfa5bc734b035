package main

import (
	"context"
	"net"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Where kube-proxy has no rules yet, nobody answers at a service's address: then it is tried again soon.
const dialTimeout = time.Second

// client speaks to the API server as the pod's service account.
func client() (kubernetes.Interface, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, err
	}
	config.Dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
	return kubernetes.NewForConfig(config)
}

// untilTold ends when the kubelet ends the pod.
func untilTold() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
}
