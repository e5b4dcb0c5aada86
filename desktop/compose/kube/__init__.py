"""A Compose project as manifests for a Kubernetes cluster; what Kubernetes has no equivalent for is named in notes."""
