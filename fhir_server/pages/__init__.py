"""The web pages: an inbound edge that shows people what runs here and the stories of studies."""
