"""What people change in documents, drafts and earlier versions, gold sets, findings."""

import django.db.models.deletion
import django.db.models.manager
import django.utils.timezone
import workspace.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('knowledge', '0003_long_media_types'),
        ('workspace', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='chunk',
            name='current',
            field=models.BooleanField(default=True),
        ),
        migrations.AddField(
            model_name='chunk',
            name='layer',
            field=models.CharField(choices=[('machine', 'from the source'), ('written', 'written by a person'), ('rest', 'the rest of a piece')], default='machine', max_length=8),
        ),
        migrations.AddField(
            model_name='chunk',
            name='off',
            field=models.BooleanField(default=False, verbose_name='switched off'),
        ),
        migrations.AddField(
            model_name='collection',
            name='automatic',
            field=models.BooleanField(default=True, verbose_name='publish changes by themselves'),
        ),
        migrations.AddField(
            model_name='collection',
            name='dated',
            field=models.BooleanField(default=False, editable=False),
        ),
        migrations.AddField(
            model_name='collection',
            name='draft',
            field=models.PositiveIntegerField(default=0, editable=False, verbose_name='draft'),
        ),
        migrations.AddField(
            model_name='collection',
            name='report',
            field=models.JSONField(default=dict, editable=False),
        ),
        migrations.AddField(
            model_name='collection',
            name='revision',
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name='document',
            name='valid_from',
            field=models.DateTimeField(blank=True, null=True, verbose_name='valid from'),
        ),
        migrations.AddField(
            model_name='document',
            name='valid_until',
            field=models.DateTimeField(blank=True, null=True, verbose_name='valid until'),
        ),
        migrations.AddField(
            model_name='entry',
            name='current',
            field=models.BooleanField(default=True),
        ),
        migrations.AddField(
            model_name='entry',
            name='layer',
            field=models.CharField(choices=[('machine', 'from the source'), ('written', 'written by a person'), ('rest', 'the rest of a piece')], default='machine', max_length=8),
        ),
        migrations.AddField(
            model_name='entry',
            name='off',
            field=models.BooleanField(default=False, verbose_name='switched off'),
        ),
        migrations.AddField(
            model_name='entry',
            name='valid_from',
            field=models.DateTimeField(blank=True, null=True, verbose_name='valid from'),
        ),
        migrations.AddField(
            model_name='entry',
            name='valid_until',
            field=models.DateTimeField(blank=True, null=True, verbose_name='valid until'),
        ),
        migrations.AddField(
            model_name='version',
            name='changes',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='version',
            name='created_at',
            field=models.DateTimeField(default=django.utils.timezone.now, verbose_name='built at'),
        ),
        migrations.AddField(
            model_name='version',
            name='digest',
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddField(
            model_name='version',
            name='documents',
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name='version',
            name='indexed',
            field=models.BooleanField(default=True),
        ),
        migrations.AddField(
            model_name='version',
            name='reason',
            field=models.CharField(choices=[('changed', 'changed documents or edits'), ('cleaned', 'deleted documents taken out'), ('encoder', 'another encoder'), ('restored', 'an earlier version again')], default='changed', max_length=8, verbose_name='reason'),
        ),
        migrations.AddField(
            model_name='version',
            name='restores',
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AlterField(
            model_name='document',
            name='status',
            field=models.CharField(choices=[('queued', 'waiting'), ('read', 'read, not yet published'), ('live', 'live'), ('failed', 'failed'), ('replaced', 'replaced')], default='queued', max_length=8, verbose_name='status'),
        ),
        migrations.AlterField(
            model_name='version',
            name='published_at',
            field=models.DateTimeField(null=True, verbose_name='published at'),
        ),
        migrations.CreateModel(
            name='Edit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', workspace.ids.PublicIdField(default=workspace.ids._NewId('edt'), editable=False, max_length=32, prefix='edt', unique=True)),
                ('source', models.CharField(max_length=500)),
                ('kind', models.CharField(choices=[('passage', 'passage'), ('entry', 'FAQ entry')], max_length=8)),
                ('base', models.JSONField(null=True)),
                ('content', models.JSONField(null=True)),
                ('theirs', models.JSONField(null=True)),
                ('off', models.BooleanField(default=False, verbose_name='switched off')),
                ('valid_from', models.DateTimeField(blank=True, null=True, verbose_name='valid from')),
                ('valid_until', models.DateTimeField(blank=True, null=True, verbose_name='valid until')),
                ('state', models.CharField(choices=[('active', 'in use'), ('clash', 'clashes with the source'), ('ended', 'ended')], default='active', max_length=8)),
                ('author', models.CharField(max_length=40)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('changed_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('collection', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='edits', to='knowledge.collection')),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='workspace.workspace')),
            ],
            managers=[
                ('every', django.db.models.manager.Manager()),
            ],
        ),
        migrations.AddField(
            model_name='chunk',
            name='edit',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='chunks', to='knowledge.edit'),
        ),
        migrations.AddField(
            model_name='entry',
            name='edit',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='entries', to='knowledge.edit'),
        ),
        migrations.CreateModel(
            name='Finding',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', workspace.ids.PublicIdField(default=workspace.ids._NewId('fnd'), editable=False, max_length=32, prefix='fnd', unique=True)),
                ('version', models.PositiveIntegerField()),
                ('kind', models.CharField(choices=[('duplicate', 'says the same twice'), ('conflict', 'contradicts')], max_length=10)),
                ('one', models.CharField(max_length=40)),
                ('other', models.CharField(max_length=40)),
                ('key', models.CharField(max_length=64)),
                ('cosine', models.FloatField()),
                ('overlap', models.FloatField(help_text='the share of the words that both have, 0 to 1')),
                ('set_aside_at', models.DateTimeField(null=True)),
                ('collection', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='findings', to='knowledge.collection')),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='workspace.workspace')),
            ],
            managers=[
                ('every', django.db.models.manager.Manager()),
            ],
        ),
        migrations.CreateModel(
            name='GoldSet',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', workspace.ids.PublicIdField(default=workspace.ids._NewId('gld'), editable=False, max_length=32, prefix='gld', unique=True)),
                ('name', models.CharField(max_length=80, verbose_name='name')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('collection', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='gold_sets', to='knowledge.collection')),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='workspace.workspace')),
            ],
            managers=[
                ('every', django.db.models.manager.Manager()),
            ],
        ),
        migrations.CreateModel(
            name='GoldRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.PositiveIntegerField()),
                ('encoder', models.CharField(max_length=80)),
                ('questions', models.PositiveIntegerField()),
                ('hits_1', models.PositiveIntegerField()),
                ('hits_5', models.PositiveIntegerField()),
                ('reciprocal_rank', models.FloatField(help_text='the mean over the questions, 0 to 1')),
                ('ranks', models.JSONField(default=dict)),
                ('ran_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='workspace.workspace')),
                ('gold_set', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='runs', to='knowledge.goldset')),
            ],
            managers=[
                ('every', django.db.models.manager.Manager()),
            ],
        ),
        migrations.CreateModel(
            name='GoldQuestion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('text', models.CharField(max_length=1000, verbose_name='question')),
                ('source', models.CharField(max_length=500, verbose_name='document')),
                ('expects', models.TextField(blank=True, verbose_name='FAQ question')),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='workspace.workspace')),
                ('gold_set', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='questions', to='knowledge.goldset')),
            ],
            options={
                'ordering': ['pk'],
            },
            managers=[
                ('every', django.db.models.manager.Manager()),
            ],
        ),
        migrations.CreateModel(
            name='SetAside',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('text_hash', models.CharField(max_length=64)),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='workspace.workspace')),
            ],
            managers=[
                ('every', django.db.models.manager.Manager()),
            ],
        ),
        migrations.CreateModel(
            name='SourceText',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('parts', models.JSONField(default=list)),
                ('entries', models.JSONField(default=list)),
                ('document', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='text', to='knowledge.document')),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='workspace.workspace')),
            ],
            options={
                'abstract': False,
            },
            managers=[
                ('every', django.db.models.manager.Manager()),
            ],
        ),
        migrations.AddIndex(
            model_name='edit',
            index=models.Index(fields=['collection', 'source', 'state'], name='edits_by_source'),
        ),
        migrations.AddConstraint(
            model_name='finding',
            constraint=models.UniqueConstraint(fields=('collection', 'key'), name='one_finding_a_pair'),
        ),
        migrations.AddConstraint(
            model_name='goldset',
            constraint=models.UniqueConstraint(fields=('collection', 'name'), name='gold_set_names_differ'),
        ),
        migrations.AddConstraint(
            model_name='goldrun',
            constraint=models.UniqueConstraint(fields=('gold_set', 'version'), name='one_gold_run_a_version'),
        ),
        migrations.AddConstraint(
            model_name='goldquestion',
            constraint=models.UniqueConstraint(fields=('gold_set', 'text'), name='a_gold_question_is_asked_once'),
        ),
        migrations.AddConstraint(
            model_name='setaside',
            constraint=models.UniqueConstraint(fields=('workspace', 'text_hash'), name='a_question_is_set_aside_once'),
        ),
    ]
