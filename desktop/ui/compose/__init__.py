"""The Compose page: projects as compose's labels name them."""
