"""The operator's commands: `tongban COMMAND …`, or `python -m deploy.operate COMMAND …`.

They run wherever the platform's image does, against any PostgreSQL from 15 on. Settings are
those of the services, from the environment.
"""

from deploy.command_line import new_command
from deploy.operate import (
    archive,
    database_settings,
    give_again,
    new_secrets,
    publish_again,
    rebuild,
    recover,
    status,
    upgrade,
)
from deploy.operate.backup.commands import backup_command, drill_command, restore_command
from deploy.operate.recount.command import recount_command

cli = new_command()
cli.add_typer(archive.cli, name="archive")
_ = cli.command("database-settings")(database_settings.database_settings_command)
_ = cli.command("new-secrets")(new_secrets.new_secrets_command)
_ = cli.command("backup")(backup_command)
_ = cli.command("drill")(drill_command)
cli.add_typer(upgrade.cli, name="upgrade")
_ = cli.command("publish-again")(publish_again.publish_again_command)
_ = cli.command("recount")(recount_command)
_ = cli.command("give-again")(give_again.give_again_command)
_ = cli.command("recover")(recover.recover_command)
_ = cli.command("rebuild")(rebuild.rebuild_command)
_ = cli.command("restore")(restore_command)
_ = cli.command("status")(status.status_command)


@cli.callback()
def tongban() -> None:
    """Run and repair a platform. 运行和维护通办平台。"""


if __name__ == "__main__":
    cli()
