"""The operator's commands: `tongban COMMAND …`, or `python -m deploy.operate COMMAND …`.

They run wherever the platform's image does, against any PostgreSQL from 15 on. Settings are
those of the services, from the environment.
"""

from deploy.command_line import new_command
from deploy.operate import archive, database_settings, new_secrets, publish_again, rebuild

cli = new_command()
cli.add_typer(archive.cli, name="archive")
_ = cli.command("database-settings")(database_settings.database_settings_command)
_ = cli.command("new-secrets")(new_secrets.new_secrets_command)
_ = cli.command("publish-again")(publish_again.publish_again_command)
_ = cli.command("rebuild")(rebuild.rebuild_command)


@cli.callback()
def tongban() -> None:
    """Run and repair a platform. 运行和维护通办平台。"""


if __name__ == "__main__":
    cli()
