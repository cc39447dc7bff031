"""The freeze boundary: the layer graph, the policy resolved against it, the plan and the certificate."""
