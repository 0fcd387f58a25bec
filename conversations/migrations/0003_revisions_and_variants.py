import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('conversations', '0002_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='message',
            name='revises',
            field=models.OneToOneField(help_text="the visitor's earlier words that this message replaces", null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='revised_by', to='conversations.message'),
        ),
        migrations.AddField(
            model_name='turn',
            name='repeats',
            field=models.OneToOneField(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='repeated_by', to='conversations.turn'),
        ),
        migrations.AddField(
            model_name='turn',
            name='variant',
            field=models.PositiveSmallIntegerField(default=1, verbose_name='variant'),
        ),
        migrations.AlterField(
            model_name='turn',
            name='outcome',
            field=models.CharField(choices=[('running', 'running'), ('answered', 'answered'), ('asked_back', 'asked back'), ('no_answer', 'no source'), ('refused', 'refused'), ('handed_off', 'handed over'), ('interrupted', 'interrupted'), ('stopped', 'stopped by the visitor'), ('merged', 'answered with the next question'), ('failed', 'failed'), ('superseded', 'superseded by an edit')], default='running', max_length=12, verbose_name='outcome'),
        ),
    ]
