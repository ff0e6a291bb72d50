package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/netip"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// loadbalancer gives every Service of type LoadBalancer the lowest free address of a range.
// It moves no packet: the range is routed to the node, where kube-proxy serves it.
func loadbalancer() {
	flags := flag.NewFlagSet("loadbalancer", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "file that says how to reach the API server")
	cidr := flags.String("range", "", "addresses to give out, such as 10.97.0.0/24")
	_ = flags.Parse(os.Args[1:]) // ExitOnError

	prefix, err := netip.ParsePrefix(*cidr)
	if err != nil {
		log.Fatalf("--range: %v", err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatalf("--kubeconfig: %v", err)
	}
	if err := assignAddresses(kubernetes.NewForConfigOrDie(config), prefix); err != nil {
		log.Fatal(err)
	}
}

// assignAddresses looks at all Services whenever one changes, and once a minute: what it decides
// follows from what the API says alone, so a restart forgets nothing.
func assignAddresses(client kubernetes.Interface, prefix netip.Prefix) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	services := factory.Core().V1().Services()
	changed := make(chan struct{}, 1)
	notify := func() {
		select {
		case changed <- struct{}{}:
		default: // a pass is due already
		}
	}
	_, err := services.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { notify() },
		UpdateFunc: func(any, any) { notify() },
		DeleteFunc: func(any) { notify() },
	})
	if err != nil {
		return err
	}
	ctx := context.Background()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	retry := time.NewTicker(time.Minute)
	for {
		select {
		case <-changed:
		case <-retry.C:
		}
		if err := pass(ctx, client, services.Lister(), prefix); err != nil {
			log.Print(err)
			time.AfterFunc(time.Second, notify)
		}
	}
}

func pass(ctx context.Context, client kubernetes.Interface, lister corelisters.ServiceLister, prefix netip.Prefix) error {
	services, err := lister.List(labels.Everything())
	if err != nil {
		return err
	}
	taken := map[netip.Addr]bool{}
	var waiting []*corev1.Service
	for _, service := range services {
		if service.Spec.Type != corev1.ServiceTypeLoadBalancer {
			continue
		}
		if len(service.Status.LoadBalancer.Ingress) == 0 {
			waiting = append(waiting, service)
		}
		for _, ingress := range service.Status.LoadBalancer.Ingress {
			if address, err := netip.ParseAddr(ingress.IP); err == nil {
				taken[address] = true
			}
		}
	}
	for _, service := range waiting {
		address, err := lowestFree(prefix, taken)
		if err != nil {
			return fmt.Errorf("service %s/%s: %w", service.Namespace, service.Name, err)
		}
		taken[address] = true
		if err := publish(ctx, client, service, address); err != nil {
			return fmt.Errorf("service %s/%s: %w", service.Namespace, service.Name, err)
		}
		log.Printf("service %s/%s has %s", service.Namespace, service.Name, address)
	}
	return nil
}

func lowestFree(prefix netip.Prefix, taken map[netip.Addr]bool) (netip.Addr, error) {
	for address := prefix.Masked().Addr().Next(); prefix.Contains(address); address = address.Next() {
		if !taken[address] {
			return address, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no address of %s is free", prefix)
}

// publish names the version it saw, so that two passes never give one Service two addresses.
func publish(ctx context.Context, client kubernetes.Interface, service *corev1.Service, address netip.Addr) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]string{"resourceVersion": service.ResourceVersion},
		"status": corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{
			Ingress: []corev1.LoadBalancerIngress{{IP: address.String()}},
		}},
	})
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Services(service.Namespace).Patch(ctx, service.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}
