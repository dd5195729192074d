from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('django_ratelimit_gcra', '0002_policy_override'),
        ('django_ratelimit_gcra', '0002_shadow_records'),
    ]

    operations = [
        migrations.CreateModel(
            name='Dashboard',
            fields=[
            ],
            options={
                'verbose_name': 'dashboard',
                'verbose_name_plural': 'dashboard',
                'proxy': True,
                'default_permissions': (),
                'indexes': [],
                'constraints': [],
            },
            bases=('django_ratelimit_gcra.policyoverride',),
        ),
    ]
