import click


@click.command(epilog="\b\nExample:\n  anydet hello scenes")
@click.argument("dataset")
def hello(dataset):
    """Count the images of a data set."""
    from anydet import open_dataset

    click.echo(f"{len(open_dataset(dataset))} images")
