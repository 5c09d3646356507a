"""HTTP routes, one router a resource."""
