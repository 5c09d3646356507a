"""The dashboard in a browser; a package, so that its tests share a browser and a service and end them."""
