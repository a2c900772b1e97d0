.PHONY: deps
deps:
